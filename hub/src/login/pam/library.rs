//! libpam, loaded when it is needed: the few functions a login takes, and the conversation they ask for.
//!
//! The only unsafe code of logging in. Constants and layouts are those of Linux-PAM's `_pam_types.h`.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr;

use hub_core::secret::Secret;
use libloading::Library;
use nix::libc;

const NAME: &str = "libpam.so.0";

/// What libpam answers, as far as the difference matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub c_int);

impl Code {
    pub const SUCCESS: Self = Self(0);
    pub const PERM_DENIED: Self = Self(6);
    pub const AUTH_ERR: Self = Self(7);
    pub const CRED_INSUFFICIENT: Self = Self(8);
    pub const USER_UNKNOWN: Self = Self(10);
    pub const MAXTRIES: Self = Self(11);
    pub const NEW_AUTHTOK_REQD: Self = Self(12);
    pub const ACCT_EXPIRED: Self = Self(13);
}

const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;
const PROMPT_ECHO_OFF: c_int = 1;
const PROMPT_ECHO_ON: c_int = 2;
const MOST_MESSAGES: c_int = 32;
const ITEM_USER: c_int = 2;
const ITEM_FAIL_DELAY: c_int = 10;
const SILENT: c_int = 0x8000;
const DISALLOW_NULL_AUTHTOK: c_int = 1;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

#[repr(C)]
struct Conversation {
    answer: extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

type Handle = c_void;
type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut Handle) -> c_int;
type Verb = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type Describe = unsafe extern "C" fn(*mut Handle, c_int) -> *const c_char;
type GetItem = unsafe extern "C" fn(*const Handle, c_int, *mut *const c_void) -> c_int;
type SetItem = unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int;

/// The functions of libpam. They stay valid as long as the library is loaded, which is for good.
#[derive(Debug, Clone, Copy)]
pub struct Pam {
    start: Start,
    end: Verb,
    authenticate: Verb,
    account: Verb,
    open_session: Verb,
    close_session: Verb,
    describe: Describe,
    get_item: GetItem,
    set_item: SetItem,
}

impl Pam {
    /// Loads libpam. The error says what is missing.
    pub fn load() -> Result<Self, String> {
        // SAFETY: libpam's initialisers have no preconditions, and the types are those of its headers. The library is
        // leaked, so the functions never dangle; its modules keep state that would not outlive an unload anyway.
        unsafe {
            let library: &'static Library = Box::leak(Box::new(Library::new(NAME).map_err(|error| error.to_string())?));
            Ok(Self {
                start: find(library, c"pam_start")?,
                end: find(library, c"pam_end")?,
                authenticate: find(library, c"pam_authenticate")?,
                account: find(library, c"pam_acct_mgmt")?,
                open_session: find(library, c"pam_open_session")?,
                close_session: find(library, c"pam_close_session")?,
                describe: find(library, c"pam_strerror")?,
                get_item: find(library, c"pam_get_item")?,
                set_item: find(library, c"pam_set_item")?,
            })
        }
    }

    /// Begins a transaction for one user of one service. `Err` holds libpam's answer.
    pub fn begin(&self, service: &CStr, user: &CStr, password: &Secret) -> Result<Transaction, Code> {
        // libpam keeps a pointer to both until the end, so they live on the heap beside the handle.
        let Ok(password) = CString::new(password.expose()) else { return Err(Code::AUTH_ERR) };
        let mut answers = Box::new(Answers { user: user.to_owned(), password: Some(password) });
        let data: *mut Answers = &mut *answers;
        let conversation = Box::new(Conversation { answer, data: data.cast() });
        let mut handle = ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and `answers` and `conversation` for as long as the handle.
        let code = unsafe { (self.start)(service.as_ptr(), user.as_ptr(), &*conversation, &mut handle) };
        if code != Code::SUCCESS.0 || handle.is_null() {
            return Err(Code(code));
        }
        let delay: extern "C" fn(c_int, c_uint, *mut c_void) = no_delay;
        // SAFETY: the handle was just made; the item is a function pointer by definition. Where it is refused,
        // wrong passwords are slow, no more.
        unsafe { (self.set_item)(handle, ITEM_FAIL_DELAY, delay as *const c_void) };
        Ok(Transaction { pam: *self, handle, last: code, _conversation: conversation, _answers: answers })
    }
}

/// # Safety
/// `T` has to be the type that the library's header gives the symbol.
unsafe fn find<T: Copy>(library: &'static Library, name: &CStr) -> Result<T, String> {
    // SAFETY: promised by the caller.
    unsafe { library.get::<T>(name.to_bytes_with_nul()) }.map(|symbol| *symbol).map_err(|error| error.to_string())
}

/// A transaction; dropping it ends it.
pub struct Transaction {
    pam: Pam,
    handle: *mut Handle,
    last: c_int,
    _conversation: Box<Conversation>,
    _answers: Box<Answers>,
}

impl Transaction {
    /// Asks whether the password is right.
    pub fn authenticate(&mut self) -> Code {
        self.run(self.pam.authenticate, SILENT | DISALLOW_NULL_AUTHTOK)
    }

    /// Asks whether the account may be used.
    pub fn account(&mut self) -> Code {
        self.run(self.pam.account, SILENT | DISALLOW_NULL_AUTHTOK)
    }

    /// Opens a session.
    pub fn open_session(&mut self) -> Code {
        self.run(self.pam.open_session, SILENT)
    }

    /// Closes it.
    pub fn close_session(&mut self) -> Code {
        self.run(self.pam.close_session, SILENT)
    }

    /// Who was authenticated in the end: modules may change the name.
    pub fn user(&self) -> Option<String> {
        let mut item = ptr::null();
        // SAFETY: the handle is valid until drop, and `item` is written before it is read.
        let code = unsafe { (self.pam.get_item)(self.handle, ITEM_USER, &mut item) };
        if code != Code::SUCCESS.0 || item.is_null() {
            return None;
        }
        // SAFETY: a user item is a string that libpam owns and keeps until the next call.
        unsafe { CStr::from_ptr(item.cast()) }.to_str().ok().map(String::from)
    }

    /// libpam's words for an answer, for the log.
    pub fn describe(&self, code: Code) -> String {
        // SAFETY: the handle is valid; the text is static or null.
        let text = unsafe { (self.pam.describe)(self.handle, code.0) };
        if text.is_null() {
            return format!("PAM error {}", code.0);
        }
        // SAFETY: not null, and terminated.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    fn run(&mut self, verb: Verb, flags: c_int) -> Code {
        // SAFETY: the handle is valid until drop, and used by this thread only (`&mut`, and not `Send`).
        self.last = unsafe { verb(self.handle, flags) };
        Code(self.last)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: the handle was made by `begin` and is ended once. The conversation is still alive.
        unsafe { (self.pam.end)(self.handle, self.last) };
    }
}

/// What modules are told: the user's name to an open question, the password to the first hidden one.
struct Answers {
    user: CString,
    password: Option<CString>,
}

impl Answers {
    fn to(&mut self, style: c_int) -> Result<Option<CString>, c_int> {
        match style {
            // A second hidden question is for something else (a code, a new password): we have nothing to say.
            PROMPT_ECHO_OFF => self.password.take().map(Some).ok_or(CONV_ERR),
            PROMPT_ECHO_ON => Ok(Some(self.user.clone())),
            _ => Ok(None),
        }
    }
}

/// The hub counts and slows down failures by itself; a module that sleeps would only hold up other people's logins.
extern "C" fn no_delay(_code: c_int, _microseconds: c_uint, _data: *mut c_void) {}

extern "C" fn answer(
    count: c_int,
    messages: *mut *const Message,
    into: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    if !(1..=MOST_MESSAGES).contains(&count) || messages.is_null() || into.is_null() || data.is_null() {
        return CONV_ERR;
    }
    let Ok(length) = usize::try_from(count) else { return CONV_ERR };
    // SAFETY: `data` is the `Answers` of a living transaction, in whose thread and call we are.
    let answers = unsafe { &mut *data.cast::<Answers>() };
    // SAFETY: no preconditions. libpam frees the array and the texts in it.
    let responses = unsafe { libc::calloc(length, size_of::<Response>()) }.cast::<Response>();
    if responses.is_null() {
        return BUF_ERR;
    }
    for index in 0..length {
        // SAFETY: Linux-PAM passes an array of `count` pointers; `index` is below `count`.
        let message = unsafe { *messages.add(index) };
        if message.is_null() {
            return give_up(responses, length, CONV_ERR);
        }
        // SAFETY: not null, hence a message.
        match answers.to(unsafe { (*message).style }) {
            Ok(None) => {}
            Ok(Some(text)) => {
                // SAFETY: the text is terminated; `responses` has `count` entries.
                unsafe { (*responses.add(index)).text = libc::strdup(text.as_ptr()) };
            }
            Err(code) => return give_up(responses, length, code),
        }
    }
    // SAFETY: checked to be no null pointer; libpam gave it to be written to.
    unsafe { *into = responses };
    Code::SUCCESS.0
}

fn give_up(responses: *mut Response, length: usize, code: c_int) -> c_int {
    for index in 0..length {
        // SAFETY: `calloc` made `length` entries, whose texts are null or from `strdup`.
        unsafe { libc::free((*responses.add(index)).text.cast()) };
    }
    // SAFETY: from `calloc`, freed once.
    unsafe { libc::free(responses.cast()) };
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_said_once() {
        let mut answers = Answers { user: c"ada".to_owned(), password: Some(c"secret".to_owned()) };
        assert_eq!(answers.to(PROMPT_ECHO_ON), Ok(Some(c"ada".to_owned())));
        assert_eq!(answers.to(PROMPT_ECHO_OFF), Ok(Some(c"secret".to_owned())));
        assert_eq!(answers.to(PROMPT_ECHO_OFF), Err(CONV_ERR));
        assert_eq!(answers.to(4), Ok(None));
    }

    #[test]
    fn a_conversation_without_sense_is_refused() {
        let mut into = ptr::null_mut();
        assert_eq!(answer(0, ptr::null_mut(), &mut into, ptr::null_mut()), CONV_ERR);
        let mut answers = Answers { user: c"ada".to_owned(), password: None };
        let data: *mut Answers = &mut answers;
        let message = Message { style: PROMPT_ECHO_OFF, text: ptr::null() };
        let mut messages: [*const Message; 2] = [&message, &message];
        assert_eq!(answer(2, messages.as_mut_ptr(), &mut into, data.cast()), CONV_ERR);
        assert!(into.is_null());
    }
}
