//! HTML, with everything that is not ours escaped.

use std::fmt::{self, Write};

use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};

use super::reply::{Response, With, full};

/// Nothing runs, and nothing is loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
                     padding:0 1rem;color:#1b1f24;background:#fff}\
                     h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}\
                     a{color:#0b5cad;text-decoration:none}a:hover{text-decoration:underline}\
                     table{border-collapse:collapse;width:100%}\
                     th,td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;\
                     border-bottom:1px solid #e3e6ea;overflow-wrap:anywhere}\
                     th{font-size:.85rem;color:#59636e}\
                     td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;\
                     white-space:nowrap;padding-right:0;padding-left:.8rem}\
                     code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}\
                     @media(max-width:44rem){body{margin:1rem auto}tr:first-child{display:none}\
                     tr{display:block;padding:.4rem 0;border-bottom:1px solid #e3e6ea}\
                     td,td.n{display:flex;border:0;padding:.1rem 0;text-align:left;white-space:normal}\
                     td::before{content:attr(data-head);flex:0 0 6.5rem;color:#59636e}}\
                     @media(prefers-color-scheme:dark){body{color:#dfe3e8;background:#15181c}\
                     a{color:#6cb2f5}th,td,tr{border-color:#333941}th,td::before{color:#9aa4af}}";

/// Text that is escaped when it is written.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A size in bytes, for people.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        // Tenths of a unit, rounded down: floats would round up to units that are not full.
        let (mut tenths, mut unit) = (self.0 / 100, 0);
        while tenths >= 10_000 && unit + 1 < units.len() {
            tenths /= 1000;
            unit += 1;
        }
        write!(f, "{}.{} {}", tenths / 10, tenths % 10, units[unit])
    }
}

/// A link to a page of a repository, or of one of its manifests.
pub(super) fn link(repository: &str, manifest: Option<&str>, words: &str) -> String {
    let encode =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let target = manifest.map_or_else(String::new, |one| format!("&amp;manifest={}", encode(one)));
    format!("<a href=\"/?repository={}{target}\">{}</a>", encode(repository), Text(words))
}

/// A table: heads, those of numbers with a `#` before them, and rows of cells that are HTML.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<table><tr>");
    let class = |head: &str| if head.starts_with('#') { " class=\"n\"" } else { "" };
    for head in heads {
        let _ = write!(html, "<th{}>{}</th>", class(head), Text(head.trim_start_matches('#')));
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for (cell, head) in row.iter().zip(heads) {
            let name = Text(head.trim_start_matches('#'));
            let _ = write!(html, "<td{} data-head=\"{name}\">{cell}</td>", class(head));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    html
}

/// A whole page.
pub(super) fn page(title: &str, content: &str) -> Response {
    let title = Text(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{content}</body></html>\n"
    );
    full(StatusCode::OK, html)
        .with(CONTENT_TYPE, "text/html; charset=utf-8")
        .with(CONTENT_SECURITY_POLICY, POLICY)
        .with(REFERRER_POLICY, "no-referrer")
        .with(CACHE_CONTROL, "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_sizes_are_short() {
        assert_eq!(Text("<a href='x'>&\"").to_string(), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        for (bytes, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_550_000, "1.5 MB"),
            (999_999, "999.9 kB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(Size(bytes).to_string(), want, "{bytes}");
        }
        assert_eq!(
            link("a/b", Some("sha256:1"), "<b>"),
            "<a href=\"/?repository=a%2Fb&amp;manifest=sha256%3A1\">&lt;b&gt;</a>"
        );
    }
}
