//! Why a request is not granted: a code for machines, the option it is about, a sentence for people.

use serde::Serialize;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// For machines; the names are a promise.
    pub code: Code,
    /// The option it is about, as the form calls it; empty when it is about the whole.
    pub field: String,
    /// For people.
    pub sentence: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal,)+) => {
        /// What a refusal is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The text that programs get.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }
        }
    };
}

codes! {
    /// There is no option of this name.
    UnknownOption = "unknown_option",
    /// The value is of another kind, or is not understood.
    BadValue = "bad_value",
    /// The choice is not among those this person has.
    NotOffered = "not_offered",
    /// The text is no reference to an image.
    BadImage = "bad_image",
    /// The image comes from elsewhere than images of one's own may.
    ImageNotAllowed = "image_not_allowed",
    /// The image has to be named by its digest.
    DigestRequired = "digest_required",
    /// A policy denies it.
    Denied = "denied",
    /// There is nothing this person could choose.
    NothingOffered = "nothing_offered",
    /// The site takes no starts at present, or none of this person's does.
    SiteClosed = "site_closed",
    /// Too many servers, cores, bytes or GPUs at once.
    OverQuota = "over_quota",
    /// The place where servers run cannot do it.
    NotSupported = "not_supported",
}

impl Code {
    /// Whether the request makes no sense, whoever asks; else it is this person who may not.
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::UnknownOption | Self::BadValue | Self::BadImage)
    }
}

impl Refusal {
    /// A refusal about one option.
    pub fn new(code: Code, field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { code, field: field.into(), sentence: sentence.into() }
    }
}

/// As much of what somebody sent as a sentence shows.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().count() > MOST {
        shown.push('…');
    }
    shown
}
