//! Which size: a flavour, or cores, memory and GPUs of menus.

use super::{CPU, FLAVOUR, MEMORY, Making, not_offered, nothing, nothing_to_ask};
use crate::policy::amount::Dimension;
use crate::policy::refusal::{Code, Refusal, shown};
use crate::policy::request;

impl Making<'_> {
    pub(super) fn choose_flavour(&mut self) -> Result<(), Refusal> {
        for (field, names) in [("cpu", &CPU[..]), ("mem", &MEMORY), ("gpu", &["gpu"])] {
            let asked = self.asked(names).and_then(|asked| match (field, asked.and_then(request::gpus)) {
                ("gpu", Some(0)) => Ok(()),
                _ => nothing_to_ask(field, asked),
            });
            self.or_default(asked)?;
        }
        let offered = || self.rules.flavours.iter().filter(|flavour| self.standing.offers_flavour(flavour));
        let asked = self.asked(&FLAVOUR).and_then(|asked| match asked {
            Some(name) => {
                offered().find(|flavour| flavour.name == name).map(Some).ok_or_else(|| not_offered("flavour", name))
            }
            None => Ok(None),
        });
        let first = offered().find(|flavour| flavour.default).or(offered().next());
        let flavour = self.or_default(asked)?.or(first).ok_or_else(|| nothing("flavour", "size"))?;
        self.plan.lay(&flavour.setting(&self.rules.gpu_resource));
        self.plan.flavour = Some(flavour.name.clone());
        self.plan.flavour_name = Some(flavour.display_name.clone());
        self.options.insert("flavour".to_owned(), flavour.name.clone().into());
        Ok(())
    }

    /// What is chosen of a menu of amounts; `None` when there is no such menu.
    fn choose_amount(
        &mut self,
        dimension: Dimension,
        menu: &[u64],
        names: &[&str],
        default: Option<u64>,
        read: fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>, Refusal> {
        let field = names.first().copied().unwrap_or_default();
        let asked = self.asked(names);
        if menu.is_empty() {
            let asked = asked.and_then(|asked| match (dimension, asked.and_then(read)) {
                (Dimension::Gpu, Some(0)) => Ok(()),
                _ => nothing_to_ask(field, asked),
            });
            return self.or_default(asked).map(|()| None);
        }
        let offered = |amount: u64| menu.contains(&amount) && self.standing.within(dimension, amount);
        let asked = asked.and_then(|asked| match asked {
            Some(text) => match read(text) {
                Some(amount) if offered(amount) => Ok(Some(amount)),
                Some(_) => Err(not_offered(field, text)),
                None => {
                    let sentence = format!("“{}” is no number of what “{field}” is counted in.", shown(text));
                    Err(Refusal::new(Code::BadValue, field, sentence))
                }
            },
            None => Ok(None),
        });
        let first = default.filter(|amount| offered(*amount)).or(menu.iter().copied().find(|one| offered(*one)));
        let chosen = self.or_default(asked)?.or(first);
        chosen.map(Some).ok_or_else(|| nothing(field, "size"))
    }

    pub(super) fn choose_cores(&mut self) -> Result<(), Refusal> {
        let (menu, default) = (&self.rules.cores, self.rules.default_cores);
        if let Some(cores) = self.choose_amount(Dimension::Cpu, menu, &CPU, default, request::cores)? {
            self.plan.cpu_limit = Some(cores);
            self.options.insert("cpu".to_owned(), request::cores_value(cores));
        }
        Ok(())
    }

    pub(super) fn choose_memory(&mut self) -> Result<(), Refusal> {
        let (menu, default) = (&self.rules.memory, self.rules.default_memory);
        if let Some(bytes) = self.choose_amount(Dimension::Memory, menu, &MEMORY, default, request::memory)? {
            self.plan.mem_limit = Some(bytes);
            self.options.insert("mem".to_owned(), request::memory_text(bytes).into());
        }
        Ok(())
    }

    pub(super) fn choose_gpus(&mut self) -> Result<(), Refusal> {
        let menu = &self.rules.gpus;
        if let Some(number) = self.choose_amount(Dimension::Gpu, menu, &["gpu"], None, request::gpus)? {
            self.plan.gpus.clear();
            if number > 0 {
                self.plan.gpus.insert(self.rules.gpu_resource.clone(), number);
            }
            self.options.insert("gpu".to_owned(), number.into());
        }
        Ok(())
    }
}
