//! What a setting is.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The flag without its dashes, such as `data-dir`.
    pub flag: &'static str,
    /// The key in the TOML file, such as `storage.data-dir`.
    pub key: &'static str,
    /// The default as text.
    pub default: &'static str,
    /// What the value is: `bytes`, `duration`, `rows`, …
    pub unit: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Whether the flag takes no value and means `true`.
    pub switch: bool,
}

impl Setting {
    /// The environment variable: `OCHRE_` and the flag in capitals.
    pub fn env(&self) -> String {
        format!("OCHRE_{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }
}

/// Declares the concerns: a struct each, and the settings that fill it.
macro_rules! concerns {
    ($(
        $(#[doc = $about:literal])+
        $concern:ident as $member:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:literal, $flag:literal, $key:literal, $unit:literal $(, $switch:ident)?;
            )+
        }
    )+) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $concern {
                $( $(#[doc = $doc])+ pub $field: $type, )+
            }
        )+

        /// The whole configuration of a server.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $( $(#[doc = $about])+ pub $member: $concern, )+
        }

        impl Config {
            /// Every setting, by concern.
            pub const SETTINGS: &'static [Setting] = &[$($(
                Setting {
                    flag: $flag,
                    key: $key,
                    default: $default,
                    unit: $unit,
                    doc: concat!($($doc),+),
                    switch: concerns!(@switch $($switch)?),
                },
            )+)+];

            /// Reads every setting from `sources`, and says all that is wrong with them.
            pub fn read(sources: &Sources) -> Result<Self, ConfigError> {
                let mut reader = Reader::new(sources);
                let config = Self {
                    $( $member: $concern { $( $field: reader.read::<$type>($flag, $default), )+ }, )+
                };
                reader.finish(config)
            }
        }
    };
    (@switch) => { false };
    (@switch switch) => { true };
}
pub(super) use concerns;
