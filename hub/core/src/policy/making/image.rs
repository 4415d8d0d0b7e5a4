//! Which image: one of the list, or one's own.

use super::{IMAGE, Making, OTHER, OWN_IMAGE, not_offered, nothing, nothing_to_ask};
use crate::policy::choice::Image;
use crate::policy::image::{ImageReference, UNDIGESTED, elsewhere};
use crate::policy::refusal::{Code, Refusal, shown};

impl<'s> Making<'s> {
    pub(super) fn choose_image(&mut self) -> Result<(), Refusal> {
        let own = !self.standing.own_images().is_empty();
        if self.rules.images.is_empty() && !own {
            let asked = self.asked(&IMAGE).and_then(|asked| nothing_to_ask("img", asked));
            return self.or_default(asked);
        }
        let asked = self.asked(&IMAGE).and_then(|asked| self.asked_image(asked));
        let asked = self.or_default(asked)?;
        let offered = || self.rules.images.iter().filter(|image| self.standing.offers_image(image));
        match asked {
            Some(Err(own)) => {
                self.options.insert("img".to_owned(), own.to_string().into());
                (self.plan.image, self.plan.image_name) = (Some(own.to_string()), Some(own.to_string()));
            }
            Some(Ok(image)) => self.lay_image(image),
            None => match offered().find(|image| image.default).or(offered().next()) {
                Some(image) => self.lay_image(image),
                None if self.rules.images.is_empty() => {}
                None => return Err(nothing("img", "image")),
            },
        }
        Ok(())
    }

    fn lay_image(&mut self, image: &Image) {
        self.plan.image = Some(image.reference.clone());
        self.plan.image_name = Some(image.display_name.clone());
        self.options.insert("img".to_owned(), image.name.clone().into());
    }

    /// The image that is asked for: one of the list, or one's own.
    fn asked_image(&self, asked: Option<&str>) -> Result<Option<Result<&'s Image, ImageReference>>, Refusal> {
        let asked = match asked {
            Some(OTHER) => match self.request.one(OWN_IMAGE)? {
                Some(typed) => typed,
                None => return Err(Refusal::new(Code::BadImage, "img", "Write the name of your image.")),
            },
            Some(asked) => asked,
            None => return Ok(None),
        };
        let images = &self.rules.images;
        let listed = images.iter().find(|image| image.name == asked);
        let listed = listed
            .or_else(|| images.iter().find(|image| image.reference == asked && self.standing.offers_image(image)));
        if let Some(image) = listed {
            return if self.standing.offers_image(image) {
                Ok(Some(Ok(image)))
            } else {
                Err(not_offered("img", asked))
            };
        }
        let allowances = self.standing.own_images();
        if allowances.is_empty() {
            return Err(not_offered("img", asked));
        }
        let image = self.parsed("img", asked)?;
        let mut admitting = allowances.iter().filter(|allowance| allowance.admits(&image)).peekable();
        if admitting.peek().is_none() {
            return Err(Refusal::new(Code::ImageNotAllowed, "img", elsewhere(&allowances)));
        }
        if !image.has_digest() && admitting.all(|allowance| allowance.require_digest) {
            return Err(Refusal::new(Code::DigestRequired, "img", UNDIGESTED));
        }
        Ok(Some(Err(image)))
    }

    /// A reference that somebody wrote, unless it is one that a policy denies.
    pub(super) fn parsed(&self, field: &str, text: &str) -> Result<ImageReference, Refusal> {
        let image = ImageReference::parse(text)
            .map_err(|error| Refusal::new(Code::BadImage, field, format!("“{}”: {error}.", shown(text))))?;
        let same = |listed: &Image| ImageReference::parse(&listed.reference).is_ok_and(|it| it.name() == image.name());
        let barred = |listed: &&Image| same(listed) && self.standing.bars_image(listed);
        match self.rules.images.iter().find(barred) {
            Some(_) => Err(not_offered(field, text)),
            None => Ok(image),
        }
    }
}
