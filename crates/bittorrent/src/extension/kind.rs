//! Which extensions there are, by what names and numbers.

use super::Extensions;

/// An extension that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// BEP 9.
    Metadata,
    /// BEP 11.
    Pex,
    /// BEP 55.
    Holepunch,
    /// BEP 54.
    DontHave,
    /// BEP 21.
    UploadOnly,
}

impl Extension {
    /// All of them, by their names in byte order.
    pub const ALL: [Self; 5] =
        [Self::DontHave, Self::UploadOnly, Self::Holepunch, Self::Metadata, Self::Pex];

    /// Its name in extension handshakes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "ut_metadata",
            Self::Pex => "ut_pex",
            Self::Holepunch => "ut_holepunch",
            Self::DontHave => "lt_donthave",
            Self::UploadOnly => "upload_only",
        }
    }

    /// The number under which we want its messages.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Metadata => 1,
            Self::Pex => 2,
            Self::Holepunch => 3,
            Self::DontHave => 4,
            Self::UploadOnly => 5,
        }
    }

    /// The extension whose messages we want under `number`.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.number() == number)
    }
}

impl Extensions {
    /// Every extension that we speak.
    pub const ALL: Self =
        Self { metadata: true, pex: true, holepunch: true, dont_have: true, upload_only: true };

    /// Whether `extension` is one of them.
    #[must_use]
    pub const fn contains(&self, extension: Extension) -> bool {
        match extension {
            Extension::Metadata => self.metadata,
            Extension::Pex => self.pex,
            Extension::Holepunch => self.holepunch,
            Extension::DontHave => self.dont_have,
            Extension::UploadOnly => self.upload_only,
        }
    }
}

impl FromIterator<Extension> for Extensions {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        let mut set = Self::default();
        for extension in extensions {
            *match extension {
                Extension::Metadata => &mut set.metadata,
                Extension::Pex => &mut set.pex,
                Extension::Holepunch => &mut set.holepunch,
                Extension::DontHave => &mut set.dont_have,
                Extension::UploadOnly => &mut set.upload_only,
            } = true;
        }
        set
    }
}
