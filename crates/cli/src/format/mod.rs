//! What commands print: rows by a template, tables, JSON.

pub(crate) mod tabs;
pub(crate) mod units;

use gantry_gotemplate::{Functions, Map, Method, Struct, Template, Value, escape_json};

/// Column widths of Docker's tables.
const MINIMUM_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Rows of one kind.
pub(crate) struct View {
    /// Go's name for a row, for error texts.
    pub(crate) type_name: &'static str,
    /// Field names and their headers.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// Values of the fields, in that order, and labels.
    pub(crate) rows: Vec<Row>,
}

/// One row.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) values: Vec<Value>,
    /// What `{{.Label "x"}}` looks up, where there is such a method.
    pub(crate) labels: Option<Map>,
}

impl Row {
    /// A row of texts.
    pub(crate) fn of<const N: usize>(values: [String; N]) -> Self {
        Self { values: values.into_iter().map(Value::from).collect(), labels: None }
    }
}

impl View {
    /// A row as a template sees it.
    pub(crate) fn value_of(&self, row: &Row) -> Value {
        let mut fields: Vec<(String, Value)> = self
            .fields
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .zip(row.values.iter().cloned())
            .collect();
        let mut sorted: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.clone(), gantry_gotemplate::to_json(value)))
            .collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let json = serde_json::Value::Object(sorted.into_iter().collect());
        if let Some(labels) = &row.labels {
            fields.push(("Label".into(), Value::Method(Method::Entry(labels.clone()))));
        }
        let type_name = self.type_name.to_owned();
        Value::Struct(Box::new(Struct {
            type_name,
            fields,
            json: Some(json),
            marshals: true,
            text: None,
        }))
    }

    fn header(&self) -> Value {
        let mut map = Map::default();
        for (name, header) in self.fields {
            map.entries.insert((*name).to_owned(), Value::from(*header));
        }
        map.entries.insert("Label".into(), Value::Method(Method::LastWord));
        Value::Map(map)
    }
}

/// Prints a view. `format` is the user's; `table` the columns to show without one.
pub(crate) fn render(view: &View, format: &str, table: &str) -> Result<String, String> {
    let (is_table, source) = match format {
        "" | "table" => (true, table.to_owned()),
        "json" => (false, "{{json .}}".to_owned()),
        other => match other.strip_prefix("table") {
            Some(rest) => (true, rest.trim().to_owned()),
            None => (false, other.trim().to_owned()),
        },
    };
    let source = source.replace("\\t", "\t").replace("\\n", "\n");
    let parse = |functions| Template::parse(&source, functions);
    let failed =
        |error: gantry_gotemplate::TemplateError| format!("template parsing error: {error}");
    let template = parse(Functions::Docker).map_err(failed)?;
    let mut text = String::new();
    for row in &view.rows {
        let line = template.execute(&view.value_of(row)).map_err(|error| failed(error) + "\n")?;
        text.push_str(&line);
        text.push('\n');
    }
    if !is_table {
        return Ok(text);
    }
    let header = parse(Functions::Header).map_err(failed)?;
    let header = header.execute(&view.header()).map_err(|error| failed(error) + "\n")?;
    Ok(tabs::align(&format!("{header}\n{text}"), MINIMUM_WIDTH, PADDING))
}

/// Executes a template over one value, as `version` and `info` do.
pub(crate) fn one(source: &str, value: &Value) -> Result<String, String> {
    let source = if source == "json" { "{{json .}}" } else { source };
    let template = Template::parse(source, Functions::Docker)
        .map_err(|error| format!("template parsing error: {error}"))?;
    template.execute(value).map_err(|error| error.to_string())
}

/// JSON as Go's `MarshalIndent` writes it: escaped, empty objects on one line.
pub(crate) fn indent(value: &serde_json::Value, unit: &str) -> String {
    escape_json(&indent_plain(value, unit))
}

/// As [`indent`] without escaping, as the daemon writes its documents.
pub(crate) fn indent_plain(value: &serde_json::Value, unit: &str) -> String {
    let mut text = String::new();
    write_indented(&mut text, value, unit, 0);
    text
}

fn write_indented(out: &mut String, value: &serde_json::Value, unit: &str, depth: usize) {
    use serde_json::Value as Json;
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(unit, depth));
    };
    match value {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                write_indented(out, item, unit, depth + 1);
            }
            line(out, depth);
            out.push(']');
        }
        Json::Object(entries) if !entries.is_empty() => {
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                out.push_str(&Json::String(key.clone()).to_string());
                out.push_str(": ");
                write_indented(out, item, unit, depth + 1);
            }
            line(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Cuts a text to `width` characters, the last of which says that more was there.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut + "…"
}

/// The first twelve characters of an ID, without its algorithm.
pub(crate) fn short_id(id: &str) -> String {
    let id = id.split_once(':').map_or(id, |(_, hex)| hex);
    id.chars().take(12).collect()
}

/// Labels as `a=b,c=d`, sorted.
pub(crate) fn labels_text(labels: &gantry_api_types::Map) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Labels for the `Label` method.
pub(crate) fn labels_map(labels: &gantry_api_types::Map) -> Map {
    let entries = labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    Map { entries, of_strings: true }
}

/// The body of the `filters` parameter; nothing without filters.
pub(crate) fn filters(given: &[String]) -> Result<Option<String>, String> {
    let mut all: std::collections::BTreeMap<String, std::collections::BTreeMap<String, bool>> =
        std::collections::BTreeMap::new();
    for text in given {
        if let Some((name, value)) = crate::values::filter(text)? {
            all.entry(name).or_default().insert(value, true);
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&all).map(Some).map_err(|error| error.to_string())
}
