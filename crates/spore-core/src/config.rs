//! A node's settings: names, defaults, ranges, and what is said about them when they are wrong.
//!
//! *In flash* settings are one [`Stored`] value. Its variants are versions of the schema: postcard writes the variant
//! first, then the fields by position. So fields of a published variant never change; a new setting is written behind the others, where
//! an older node overlooks it and a newer one that misses it takes the default (`spore_node::store`). Anything else means a new
//! variant and a conversion of the older ones. A node that finds a variant it does not know starts with defaults.

use crate::members::Thresholds;
use crate::time::Duration;
use crate::wifi::{Passphrase, Settings, Ssid};
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};
use spore_sentence::say;
use spore_wire::{Hostname, Labels, NameError};

/// Everything that can be set, under the names of `GET /api/node/config` in `snake_case`. All times are milliseconds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Own name; `None` for the one from the chip id.
    pub hostname: Option<Hostname>,
    /// Network to join, empty for none.
    pub wifi_ssid: Ssid,
    /// Its pass phrase: empty, or 8 to 63 printable ASCII characters. Secret: no output of this module shows it.
    pub wifi_passphrase: Passphrase,
    /// How long joining, and then getting an address, may take: 1,000 to 120,000.
    pub wifi_connect_timeout_ms: u32,
    /// Wait after the first failed attempt: 100 to 60,000.
    pub wifi_retry_delay_ms: u32,
    /// Between discovery broadcasts: 200 to 3,600,000.
    pub discovery_interval_ms: u32,
    /// Between looks at the datagram socket where that is polled: 10 to 10,000.
    pub listen_interval_ms: u32,
    /// Between heartbeats: 200 to 3,600,000.
    pub heartbeat_interval_ms: u32,
    /// Between looks at the ages of members: 100 to 60,000.
    pub status_interval_ms: u32,
    /// Between broadcasts of the own details, and between fetches of a text member's: 1,000 to 3,600,000.
    pub member_info_interval_ms: u32,
    /// Between lines about the cluster in the log: 1,000 to 3,600,000.
    pub debug_interval_ms: u32,
    /// Age of the last evidence from which a member is INACTIVE: 1,000 to 600,000, more than the shorter of discovery
    /// and heartbeat interval.
    pub inactive_after_ms: u32,
    /// Age from which it is DEAD: 2,000 to 1,800,000, more than `inactive_after_ms`.
    pub dead_after_ms: u32,
    /// What the owner wrote on the node.
    pub labels: Labels,
    /// Whom to ask for the time; unspecified for the router.
    pub ntp_server: Ipv4Addr,
}

/// Settings as they lie in flash, see the module's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// The first schema.
    V1(Config),
}

/// The newest of [`Stored`] without a copy of the settings: it is written as that is.
#[derive(Debug, Serialize)]
pub enum StoredRef<'c> {
    /// As [`Stored::V1`].
    V1(&'c Config),
}

impl Stored {
    /// The settings, converted to the newest schema and made acceptable ([`Config::repair`]).
    pub fn into_config(self) -> Config {
        match self {
            Self::V1(mut config) => {
                config.repair();
                config
            }
        }
    }
}

impl From<Config> for Stored {
    fn from(config: Config) -> Self {
        Self::V1(config)
    }
}

/// Why settings are not acceptable. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// There is no setting of that name.
    Unknown,
    /// The value is not a whole number within the range.
    Range {
        /// Name of the setting.
        key: &'static str,
        /// Least allowed value.
        min: u32,
        /// Greatest allowed value.
        max: u32,
    },
    /// The hostname is not 1 to 24 of `A-Z a-z 0-9 . _ -`.
    Hostname,
    /// The network name exceeds 32 bytes.
    Ssid,
    /// The pass phrase is neither empty nor 8 to 63 printable ASCII characters.
    Passphrase,
    /// The time server is not an IPv4 address.
    NtpServer,
    /// The label is malformed or there is no room for it.
    Label(NameError),
    /// `inactiveAfterMs` is not less than `deadAfterMs`.
    InactiveNotBeforeDead,
    /// Neither discovery nor heartbeats come more often than `inactiveAfterMs`.
    TooSeldomForInactive,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => say!(f, "no such setting; GET /api/node/config lists them"),
            Self::Range { key, min, max } => say!(f, key, " must be a whole number from ", min, " to ", max),
            Self::Hostname => {
                say!(f, "hostname must be 1 to 24 of A-Z a-z 0-9 . _ - (empty: from the chip id)")
            }
            Self::Ssid => say!(f, "wifiSsid has at most 32 bytes"),
            Self::Passphrase => {
                say!(f, "wifiPassphrase must be empty or 8 to 63 printable ASCII characters")
            }
            Self::NtpServer => say!(f, "ntpServer must be an IPv4 address (empty: the router)"),
            Self::Label(error) => write!(f, "label: {error}"),
            Self::InactiveNotBeforeDead => say!(f, "inactiveAfterMs must be less than deadAfterMs"),
            Self::TooSeldomForInactive => {
                say!(f, "discoveryIntervalMs or heartbeatIntervalMs must be less than inactiveAfterMs")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

/// The value of a setting, for output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u32),
    /// Yes or no.
    Flag(bool),
    /// Labels.
    Labels(&'a Labels),
    /// An address, unspecified for none.
    Address(Ipv4Addr),
}

/// One setting that is a number.
struct Number {
    key: &'static str,
    min: u32,
    max: u32,
    get: fn(&Config) -> u32,
    place: fn(&mut Config) -> &mut u32,
}

macro_rules! number {
    ($key:literal, $field:ident, $min:literal, $max:literal) => {
        Number {
            key: $key,
            min: $min,
            max: $max,
            get: |config| config.$field,
            place: |config| &mut config.$field,
        }
    };
}

/// In the order of the API.
const NUMBERS: [Number; 10] = [
    number!("wifiConnectTimeoutMs", wifi_connect_timeout_ms, 1_000, 120_000),
    number!("wifiRetryDelayMs", wifi_retry_delay_ms, 100, 60_000),
    number!("discoveryIntervalMs", discovery_interval_ms, 200, 3_600_000),
    number!("listenIntervalMs", listen_interval_ms, 10, 10_000),
    number!("heartbeatIntervalMs", heartbeat_interval_ms, 200, 3_600_000),
    number!("statusIntervalMs", status_interval_ms, 100, 60_000),
    number!("memberInfoIntervalMs", member_info_interval_ms, 1_000, 3_600_000),
    number!("debugIntervalMs", debug_interval_ms, 1_000, 3_600_000),
    number!("inactiveAfterMs", inactive_after_ms, 1_000, 600_000),
    number!("deadAfterMs", dead_after_ms, 2_000, 1_800_000),
];

impl Number {
    fn check(&self, value: u32) -> Result<u32, ConfigError> {
        let Self { key, min, max, .. } = *self;
        if (min..=max).contains(&value) { Ok(value) } else { Err(ConfigError::Range { key, min, max }) }
    }
}

impl Config {
    /// The seed's times, no network, no labels.
    pub const fn new() -> Self {
        Self {
            hostname: None,
            wifi_ssid: Ssid::new(),
            wifi_passphrase: Passphrase::new(),
            wifi_connect_timeout_ms: 15_000,
            wifi_retry_delay_ms: 500,
            discovery_interval_ms: 1_000,
            listen_interval_ms: 100,
            heartbeat_interval_ms: 2_000,
            status_interval_ms: 1_000,
            member_info_interval_ms: 10_000,
            debug_interval_ms: 5_000,
            inactive_after_ms: 10_000,
            dead_after_ms: 60_000,
            labels: Labels::new(),
            ntp_server: Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Changes one setting, named as in the API, to a value given as text; an empty `label.<key>` removes the label.
    /// Relations between settings are not looked at, for several may change together: [`Config::check`] when all are
    /// set, on a copy, so that all or none take effect.
    ///
    /// # Errors
    /// [`ConfigError`]; this setting is unchanged then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        if let Some(label) = key.strip_prefix("label.") {
            if value.is_empty() {
                self.labels.remove(label);
                return Ok(());
            }
            return self.labels.set(label, value).map_err(ConfigError::Label);
        }
        match key {
            "hostname" if value.is_empty() => self.hostname = None,
            "hostname" => self.hostname = Some(Hostname::new(value).map_err(|_| ConfigError::Hostname)?),
            "wifiSsid" => self.wifi_ssid = Ssid::try_from(value).map_err(|_| ConfigError::Ssid)?,
            "wifiPassphrase" => {
                check_passphrase(value)?;
                self.wifi_passphrase = Passphrase::try_from(value).map_err(|_| ConfigError::Passphrase)?;
            }
            "ntpServer" if value.is_empty() => self.ntp_server = Ipv4Addr::UNSPECIFIED,
            "ntpServer" => self.ntp_server = value.parse().map_err(|_| ConfigError::NtpServer)?,
            key => {
                let number = NUMBERS.iter().find(|number| number.key == key).ok_or(ConfigError::Unknown)?;
                // What is no number at all fails the range as 0 does, with the same words.
                let value = number.check(value.trim_ascii().parse().unwrap_or(0))?;
                *(number.place)(self) = value;
            }
        }
        Ok(())
    }

    /// Whether all settings are within their ranges and fit together.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn check(&self) -> Result<(), ConfigError> {
        NUMBERS.iter().try_for_each(|number| number.check((number.get)(self)).map(drop))?;
        check_passphrase(&self.wifi_passphrase)?;
        if self.inactive_after_ms >= self.dead_after_ms {
            return Err(ConfigError::InactiveNotBeforeDead);
        }
        if self.discovery_interval_ms.min(self.heartbeat_interval_ms) >= self.inactive_after_ms {
            return Err(ConfigError::TooSeldomForInactive);
        }
        Ok(())
    }

    /// Sets all numbers to their defaults if these settings are not acceptable. Name, network and labels stay: a node must
    /// not drop off its network because a range got narrower with an update.
    #[inline(never)]
    pub fn repair(&mut self) {
        if check_passphrase(&self.wifi_passphrase).is_err() {
            self.wifi_passphrase.clear();
        }
        if self.check().is_err() {
            let defaults = Self::new();
            for number in &NUMBERS {
                *(number.place)(self) = (number.get)(&defaults);
            }
        }
    }

    /// All settings under the names and in the order of the API; `hostname` is empty if it is the one from the chip id,
    /// and of the pass phrase only whether there is one.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let texts = [
            ("hostname", Value::Text(self.hostname.as_deref().unwrap_or(""))),
            ("wifiSsid", Value::Text(&self.wifi_ssid)),
            ("wifiPassphraseSet", Value::Flag(!self.wifi_passphrase.is_empty())),
        ];
        let numbers = NUMBERS.iter().map(|number| (number.key, Value::Number((number.get)(self))));
        texts
            .into_iter()
            .chain(numbers)
            .chain([("labels", Value::Labels(&self.labels)), ("ntpServer", Value::Address(self.ntp_server))])
    }

    /// The thresholds of members.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            inactive_after: millis(self.inactive_after_ms),
            dead_after: millis(self.dead_after_ms),
            ..Thresholds::DEFAULT
        }
    }

    /// The times of the WiFi policy.
    pub fn wifi(&self) -> Settings {
        Settings {
            connect_timeout: millis(self.wifi_connect_timeout_ms),
            retry_delay: millis(self.wifi_retry_delay_ms),
        }
    }

    /// Whether there is a network to join.
    pub fn has_credentials(&self) -> bool {
        !self.wifi_ssid.is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows what [`Config::iter`] shows, so never the pass phrase.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn check_passphrase(passphrase: &str) -> Result<(), ConfigError> {
    // IEEE 802.11-2020, J.4: printable ASCII.
    let printable = passphrase.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if printable && matches!(passphrase.len(), 0 | 8..=63) { Ok(()) } else { Err(ConfigError::Passphrase) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn defaults_are_acceptable_and_listed_as_in_the_api() {
        let config = Config::new();
        assert_eq!(config.check(), Ok(()));
        let keys: Vec<_> = config.iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys.join(" "),
            "hostname wifiSsid wifiPassphraseSet wifiConnectTimeoutMs wifiRetryDelayMs discoveryIntervalMs \
             listenIntervalMs heartbeatIntervalMs statusIntervalMs memberInfoIntervalMs debugIntervalMs \
             inactiveAfterMs deadAfterMs labels ntpServer"
        );
        assert_eq!(config.thresholds(), Thresholds::DEFAULT);
        assert_eq!(config.wifi(), Settings::DEFAULT);
    }

    #[test]
    fn every_number_can_be_set_and_read_back() {
        for number in &NUMBERS {
            let mut config = Config::new();
            config.set(number.key, &number.max.to_string()).unwrap();
            assert!(
                config.iter().any(|(key, value)| key == number.key && value == Value::Number(number.max))
            );
            let range = ConfigError::Range { key: number.key, min: number.min, max: number.max };
            for bad in [(number.min - 1).to_string(), (number.max + 1).to_string(), "x".into(), "-1".into()] {
                assert_eq!(config.set(number.key, &bad), Err(range), "{bad}");
            }
            assert_eq!((number.get)(&config), number.max);
        }
    }

    #[test]
    fn texts_are_checked() {
        let mut config = Config::new();
        config.set("hostname", "kitchen").unwrap();
        assert_eq!(config.set("hostname", "a b"), Err(ConfigError::Hostname));
        assert_eq!(config.hostname.as_deref(), Some("kitchen"));
        config.set("hostname", "").unwrap();
        assert_eq!(config.hostname, None);
        assert_eq!(config.set("wifiSsid", &"x".repeat(33)), Err(ConfigError::Ssid));
        assert_eq!(config.set("wifiPassphrase", "short"), Err(ConfigError::Passphrase));
        assert_eq!(config.set("wifiPassphrase", &"x".repeat(64)), Err(ConfigError::Passphrase));
        assert_eq!(config.set("wifiPassphraseSet", "true"), Err(ConfigError::Unknown));
        config.set("label.role", "relay").unwrap();
        assert_eq!(config.labels.get("role"), Some("relay"));
        config.set("label.role", "").unwrap();
        assert!(config.labels.is_empty());
        assert_eq!(config.set("label.", "x"), Err(ConfigError::Label(NameError::Empty)));
        for bad in ["pool.ntp.org", "1.2.3", "1.2.3.4 ", "::1"] {
            assert_eq!(config.set("ntpServer", bad), Err(ConfigError::NtpServer));
        }
        config.set("ntpServer", "192.168.1.9").unwrap();
        assert_eq!(config.ntp_server, Ipv4Addr::new(192, 168, 1, 9));
        config.set("ntpServer", "").unwrap();
        assert!(config.ntp_server.is_unspecified());
        assert!(!config.has_credentials());
    }

    #[test]
    fn relations_are_checked() {
        let mut config = Config::new();
        config.set("deadAfterMs", "10000").unwrap();
        assert_eq!(config.check(), Err(ConfigError::InactiveNotBeforeDead));
        let mut config = Config::new();
        config.set("discoveryIntervalMs", "10000").unwrap();
        assert_eq!(config.check(), Ok(()));
        config.set("heartbeatIntervalMs", "10000").unwrap();
        assert_eq!(config.check(), Err(ConfigError::TooSeldomForInactive));
        config.set("wifiSsid", "net").unwrap();
        let repaired = Stored::from(config).into_config();
        assert_eq!((repaired.check(), repaired.wifi_ssid.as_str()), (Ok(()), "net"));
    }

    #[test]
    fn the_pass_phrase_is_never_shown() {
        let mut config = Config::new();
        config.set("wifiSsid", "net").unwrap();
        config.set("wifiPassphrase", "correct horse").unwrap();
        let shown = format!("{config:?} {:#?} {:?}", config, Stored::from(config.clone()));
        assert!(!shown.contains("correct") && shown.contains("wifiPassphraseSet"));
    }

    #[test]
    fn flash_keeps_every_setting() {
        let mut config = Config::new();
        for (key, value) in [
            ("hostname", "kitchen"),
            ("wifiSsid", "net"),
            ("wifiPassphrase", "12345678"),
            ("label.app", "spore"),
            ("ntpServer", "1.2.3.4"),
        ] {
            config.set(key, value).unwrap();
        }
        for stored in [Stored::from(Config::new()), Stored::from(config)] {
            let Stored::V1(borrowed) = &stored;
            let (mut one, mut two) = ([0; 512], [0; 512]);
            let borrowed = postcard::to_slice(&StoredRef::V1(borrowed), &mut one);
            assert_eq!(borrowed, postcard::to_slice(&stored, &mut two));
            let mut buf = [0; 1024];
            let bytes = postcard::to_slice(&stored, &mut buf).unwrap();
            assert_eq!(bytes[0], 0, "the first byte is the schema");
            assert_eq!(postcard::from_bytes::<Stored>(bytes).unwrap(), stored);
            bytes[0] = 9;
            assert!(postcard::from_bytes::<Stored>(bytes).is_err(), "an unknown schema is refused");
        }
    }

    proptest! {
        #[test]
        fn a_refused_setting_changes_nothing(
            key in prop::sample::select(vec!["hostname", "wifiSsid", "wifiPassphrase", "label.a", "deadAfterMs", "x"]),
            value in "\\PC{0,70}",
        ) {
            let mut config = Config::new();
            let before = config.clone();
            if config.set(key, &value).is_err() {
                prop_assert_eq!(config, before);
            } else {
                prop_assert!(config.check().is_ok() || key == "deadAfterMs");
            }
        }
    }
}
