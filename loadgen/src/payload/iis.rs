//! Make events as Filebeat ships them from a web server's log: one JSON object of 1.1-1.5 kB each.
//!
//! One [`Iis`] is one server with one Filebeat: its identity stays, its log's offset and clock go forward, requests vary.
//! The times in the text are the log's own, from August 2023 on; the record's timestamp is the sender's business.
//! Order of the fields, double backslashes and `+` for blanks are as Filebeat and IIS write them.
use std::io::Write as _;

use super::Noise;

/// No event is smaller.
pub const EVENT_BYTES_MIN: usize = 1_100;
/// No event is larger.
pub const EVENT_BYTES_MAX: usize = 1_500;

/// When the log begins: 2023-08-11T10:10:10.716Z in milliseconds since 1970.
const LOG_START_MS: u64 = 1_691_748_610_716;
/// Requests follow each other by less than twice this.
const REQUEST_GAP_MS_MEAN: u64 = 40;
/// The longest variable part of a request, so that [`EVENT_BYTES_MAX`] holds by construction; a test counts it.
const QUERY_BYTES_MAX: usize = 120;

const AGENTS: [&str; 8] = [
    "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/115.0.0.0+Safari/537.36",
    "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64;+rv:109.0)+Gecko/20100101+Firefox/116.0",
    "Mozilla/5.0+(Macintosh;+Intel+Mac+OS+X+10_15_7)+AppleWebKit/605.1.15+(KHTML,+like+Gecko)+Version/16.5.2+Safari/605.1.15",
    "Mozilla/5.0+(iPhone;+CPU+iPhone+OS+16_6+like+Mac+OS+X)+AppleWebKit/605.1.15+(KHTML,+like+Gecko)+Version/16.6+Mobile/15E148+Safari/604.1",
    "Mozilla/5.0+(Linux;+Android+13;+SM-S918B)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/115.0.0.0+Mobile+Safari/537.36",
    "Mozilla/5.0+(X11;+Linux+x86_64)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/114.0.0.0+Safari/537.36",
    "Mozilla/5.0+(compatible;+bingbot/2.0;++http://www.bing.com/bingbot.htm)",
    "python-requests/2.31.0",
];
const PATHS: [&str; 12] = [
    "/",
    "/list",
    "/login",
    "/favicon.ico",
    "/assets/site.css",
    "/assets/app.bundle.js",
    "/images/products/large",
    "/api/v1/items",
    "/api/v1/basket",
    "/api/v1/orders/history",
    "/api/v2/search/suggestions",
    "/account/settings/notifications",
];
const QUERY_KEYS: [&str; 8] = ["id", "page", "sort", "q", "category", "session", "utm_source", "lang"];
const SITE: &str = " https://www.example.com";
const EVENT_END: &[u8] = br#"","fields":{"service":"iis","site":"www.example.com"},"tags":["iis","web"]}"#;
const METHODS: [&str; 8] = ["GET", "GET", "GET", "GET", "GET", "POST", "PUT", "HEAD"];
const STATUSES: [&str; 10] = [
    "200 0 0", "200 0 0", "200 0 0", "200 0 0", "200 0 0", "304 0 0", "302 0 0", "404 0 2", "401 2 5",
    "500 0 64",
];

/// One web server's log.
#[derive(Clone, Debug)]
pub struct Iis {
    noise: Noise,
    /// Everything between the time at the front and the log's offset.
    identity: String,
    host_address: String,
    clock_ms: u64,
    log_offset: u64,
    query: Vec<u8>,
}

impl Iis {
    /// Server number `stream`; its name, addresses and ids come from the seed and that number.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut noise = Noise::new(seed, stream);
        let number = stream % 250 + 1;
        let host_address = format!("192.0.2.{number}");
        let (ephemeral, agent, host) = (uuid(&mut noise), uuid(&mut noise), uuid(&mut noise));
        let identity = format!(
            concat!(
                r#"","@metadata":{{"beat":"filebeat","type":"_doc","version":"8.9.0"}},"input":{{"type":"filestream"}},"#,
                r#""agent":{{"ephemeral_id":"{}","id":"{}","name":"WEB-{:02}","type":"filebeat","version":"8.9.0"}},"#,
                r#""ecs":{{"version":"8.0.0"}},"host":{{"name":"web-{:02}","hostname":"web-{:02}","architecture":"x86_64","#,
                r#""id":"{}","os":{{"type":"windows","platform":"windows","family":"windows","#,
                r#""name":"Windows Server 2019 Datacenter","kernel":"10.0.17763.4645 (WinBuild.160101.0800)","#,
                r#""version":"10.0","build":"17763.4645"}},"ip":["fe80::5efe:c000:2{:02x}","{}"],"#,
                r#""mac":["02-00-5E-10-00-{:02X}"]}},"log":{{"offset":"#
            ),
            ephemeral, agent, number, number, number, host, number, host_address, number
        );
        let log_offset = 230_011 + noise.below(1 << 20);
        Self { noise, identity, host_address, clock_ms: LOG_START_MS, log_offset, query: Vec::new() }
    }

    /// Appends the next event to `out`.
    pub fn write_event(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        self.clock_ms += self.noise.below(2 * REQUEST_GAP_MS_MEAN);
        let time = LogTime::from_ms(self.clock_ms);
        // Writing into a Vec cannot fail, so the results of `write!` say nothing.
        let _ = write!(
            out,
            r#"{{"@timestamp":"{}T{}.{:03}Z{}"#,
            time.date(),
            time.clock(),
            time.millis,
            self.identity
        );
        let _ = write!(
            out,
            r#"{},"file":{{"path":"C:\\inetpub\\logs\\LogFiles\\W3SVC1\\u_ex{:02}{:02}{:02}.log"}}}},"message":""#,
            self.log_offset,
            time.year % 100,
            time.month,
            time.day
        );
        let message_start = out.len();
        self.write_request(out, &time, start);
        self.log_offset += (out.len() - message_start + "\r\n".len()) as u64;
        out.extend_from_slice(EVENT_END);
    }

    /// The line of the log itself.
    fn write_request(&mut self, out: &mut Vec<u8>, time: &LogTime, event_start: usize) {
        let noise = &mut self.noise;
        let (method, path, agent, status) =
            (noise.pick(&METHODS), noise.pick(&PATHS), noise.pick(&AGENTS), noise.pick(&STATUSES));
        let (item, client, port) = (noise.below(100_000), noise.below(250) + 1, noise.below(3));
        let net = *noise.pick(&["203.0.113", "198.51.100"]);
        let took_ms = noise.below(50) * (1 + noise.below(40));
        let referrer = *noise.pick(&PATHS);
        let _ = write!(out, "{} {} {} {method} {path}/{item} ", time.date(), time.clock(), self.host_address);
        // A short request gets a longer query: no event falls below its smallest size.
        let rest_bytes_min =
            " 80 - 198.51.100.1 ".len() + agent.len() + SITE.len() + referrer.len() + " 200 0 0 0".len();
        let bytes_before = out.len() - event_start + rest_bytes_min + EVENT_END.len();
        let query_bytes =
            EVENT_BYTES_MIN.saturating_sub(bytes_before) + noise.below(QUERY_BYTES_MAX as u64) as usize;
        self.query.clear();
        while self.query.len() < query_bytes {
            let separator = if self.query.is_empty() { "" } else { "&" };
            let key = noise.pick(&QUERY_KEYS);
            let _ = write!(self.query, "{separator}{key}={:x}", noise.bits() >> noise.below(60));
        }
        out.extend_from_slice(&self.query);
        let port = ["443", "80", "8443"][port as usize];
        let _ = write!(out, " {port} - {net}.{client} {agent}{SITE}{referrer} {status} {took_ms}");
    }
}

fn uuid(noise: &mut Noise) -> String {
    let (high, low) = (noise.bits(), noise.bits());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

/// A time of day in the log, in UTC.
struct LogTime {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
    millis: u64,
}

impl LogTime {
    /// The civil date of a time after 1970, by counting in eras of 400 years that begin in March.
    fn from_ms(ms: u64) -> Self {
        const ERA_DAYS: u64 = 146_097;
        let (days, second_of_day) = (ms / 86_400_000, ms / 1000 % 86_400);
        let shifted = days + 719_468; // from 0000-03-01
        let (era, day_of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        Self { year, month, day, second_of_day, millis: ms % 1000 }
    }

    fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    fn clock(&self) -> String {
        let second = self.second_of_day;
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_valid_json_of_the_promised_size() {
        let (mut smallest, mut largest) = (usize::MAX, 0);
        for stream in 0..50 {
            let mut events = Iis::new(42, stream);
            for _ in 0..2_000 {
                let mut out = Vec::new();
                events.write_event(&mut out);
                let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(event["agent"]["version"], "8.9.0");
                (smallest, largest) = (smallest.min(out.len()), largest.max(out.len()));
            }
        }
        assert!(smallest >= EVENT_BYTES_MIN, "{smallest}");
        assert!(largest <= EVENT_BYTES_MAX, "{largest}");
        assert!(largest - smallest > 200, "{smallest}..{largest} hardly varies");
    }

    #[test]
    fn events_have_filebeats_fields_in_filebeats_order() {
        let mut out = Vec::new();
        Iis::new(1, 1).write_event(&mut out);
        let text = String::from_utf8(out).unwrap();
        let places: Vec<_> = [
            "{\"@timestamp\":\"2023-08-1",
            "\"@metadata\":{\"beat\":\"filebeat\"",
            "\"input\":{\"type\":\"filestream\"}",
            "\"agent\":{\"ephemeral_id\"",
            "\"ecs\":{\"version\":\"8.0.0\"}",
            "\"host\":{\"name\":\"web-",
            "\"log\":{\"offset\":",
            "C:\\\\inetpub\\\\logs",
            "\"message\":\"2023-08-1",
            "\"fields\":{\"service\":\"iis\"",
            "\"tags\":[\"iis\",\"web\"]}",
        ]
        .iter()
        .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is missing in {text}")))
        .collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn times_offsets_addresses_and_paths_vary_and_the_log_only_grows() {
        let mut events = Iis::new(3, 9);
        let mut messages = std::collections::BTreeSet::new();
        let (mut offset, mut time) = (0, String::new());
        for _ in 0..1_000 {
            let mut out = Vec::new();
            events.write_event(&mut out);
            let event: serde_json::Value = serde_json::from_slice(&out).unwrap();
            let next_offset = event["log"]["offset"].as_u64().unwrap();
            let next_time = event["@timestamp"].as_str().unwrap().to_owned();
            assert!(next_offset > offset && next_time >= time);
            (offset, time) = (next_offset, next_time);
            messages.insert(event["message"].as_str().unwrap().to_owned());
        }
        assert_eq!(messages.len(), 1_000);
    }

    #[test]
    fn one_seed_makes_one_log() {
        let first = |seed, stream| {
            let mut out = Vec::new();
            Iis::new(seed, stream).write_event(&mut out);
            out
        };
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let date = |ms| LogTime::from_ms(ms).date();
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400_000), "2000-02-29");
        assert_eq!(date(951_868_800_000), "2000-03-01");
        assert_eq!(date(1_704_067_199_999), "2023-12-31");
        let start = LogTime::from_ms(LOG_START_MS);
        assert_eq!((start.date(), start.clock()), ("2023-08-11".into(), "10:10:10".into()));
    }
}
