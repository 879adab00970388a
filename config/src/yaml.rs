//! Text to nodes that know their place. The only module that knows the YAML library (granit-parser, the
//! parser under serde-saphyr): to replace it, write [`parse`] anew.
//!
//! It works on parser events and not on serde, because serde stops at the first error, while an operator
//! wants to see all of them, and because a value must keep its text (`1GiB`, `0000:5e:00.0`) and its place
//! until it is checked.
//!
//! Work and memory are bounded: depth by [`DEPTH_MAX`], values, aliases written out, by [`VALUES_MAX`].

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StructureStyle};

use crate::diagnostic::{Diagnostic, DiagnosticKind, nearest};
use crate::place::{Place, Source};

/// Deepest nesting of lists and mappings.
const DEPTH_MAX: usize = 32;
/// Most values in a file.
const VALUES_MAX: usize = 20_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What YAML calls scalar, sequence and mapping.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `plain` if it was not quoted.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; keys may be of any shape, and may come twice.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// Nothing was written, or one of YAML's words for it.
    pub(crate) fn is_null(&self) -> bool {
        match self {
            Self::Scalar { text, plain } => {
                *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Self::List(_) | Self::Map(_) => false,
        }
    }
}

/// The first thing that is wrong: behind it nothing is certain.
pub(crate) type Refusal = Box<Diagnostic>;

/// Reads the one document of a file; none if it says nothing.
pub(crate) fn parse(text: &str, source: &Source) -> Result<Option<Node>, Refusal> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder::new(text, source);
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = item.map_err(|error| syntax(&error, source))?;
        builder.take(event, span)?;
    }
    Ok(builder.root.filter(|root| !root.value.is_null()))
}

/// A collection that has begun and not ended.
struct Open {
    span: Span,
    anchor: usize,
    style: StructureStyle,
    value: Value,
    /// In a mapping: the key that waits for its value.
    key: Option<Node>,
}

/// Puts nodes together from events.
struct Builder<'a> {
    text: &'a str,
    source: &'a Source,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    values: usize,
    /// Finished nodes that have an anchor, each with its number of values.
    anchored: HashMap<usize, (Node, usize)>,
    anchor_names: HashMap<usize, String>,
    /// For each open collection, how many values there were before it.
    values_before: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, source: &'a Source) -> Self {
        Self {
            text,
            source,
            open: Vec::new(),
            root: None,
            documents: 0,
            values: 0,
            anchored: HashMap::new(),
            anchor_names: HashMap::new(),
            values_before: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Refusal> {
        self.refuse_tag(&event, span)?;
        match event {
            Event::DocumentStart(..) => self.document_begins(span),
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let node =
                    Node { place: self.place(span), value: Value::Scalar { text: text.into_owned(), plain } };
                self.count(1, &node.place)?;
                self.finished(node, anchor, 1);
                Ok(())
            }
            Event::SequenceStart(style, anchor, _) => {
                self.begin(span, anchor, style, Value::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, _) => self.begin(span, anchor, style, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => {
                self.end(span);
                Ok(())
            }
            Event::Anchor(id, name) => {
                self.anchor_names.insert(id, name.into_owned());
                Ok(())
            }
            Event::Alias(id) => self.alias(id, span),
            Event::UnresolvedAlias(name) => {
                let near = nearest(&name, self.anchor_names.values().map(String::as_str));
                Err(refusal(DiagnosticKind::AliasUnknown { name: name.into_owned(), near }, self.place(span)))
            }
            // Begin and end of stream and document, and presentation that later versions may tell of.
            _ => Ok(()),
        }
    }

    fn document_begins(&mut self, span: Span) -> Result<(), Refusal> {
        self.documents += 1;
        if self.documents > 1 {
            Err(refusal(DiagnosticKind::SeveralDocuments, self.place(span)))
        } else {
            Ok(())
        }
    }

    fn refuse_tag(&self, event: &Event<'_>, span: Span) -> Result<(), Refusal> {
        let (Event::Scalar(_, _, _, Some(_))
        | Event::SequenceStart(_, _, Some(_))
        | Event::MappingStart(_, _, Some(_))) = event
        else {
            return Ok(());
        };
        let at = span.tag_span().unwrap_or(span);
        let tag = at.slice(self.text).unwrap_or("!").to_owned();
        Err(refusal(DiagnosticKind::TagRefused { tag }, self.place(at)))
    }

    fn begin(
        &mut self,
        span: Span,
        anchor: usize,
        style: StructureStyle,
        value: Value,
    ) -> Result<(), Refusal> {
        let place = self.place(span);
        if self.open.len() >= DEPTH_MAX {
            return Err(refusal(DiagnosticKind::NestedTooDeep { limit: DEPTH_MAX }, place));
        }
        self.values_before.push(self.values);
        self.count(1, &place)?;
        self.open.push(Open { span, anchor, style, value, key: None });
        Ok(())
    }

    fn end(&mut self, span: Span) {
        let (Some(open), Some(before)) = (self.open.pop(), self.values_before.pop()) else { return };
        // A block collection ends where the next thing begins, which is of no use: its first line is meant.
        let end = if open.style == StructureStyle::Flow { span.end } else { open.span.start };
        let node = Node { place: self.place_between(open.span.start, end), value: open.value };
        self.finished(node, open.anchor, self.values - before);
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Refusal> {
        let place = self.place(span);
        let Some((node, values)) = self.anchored.get(&id) else {
            let name = self.anchor_names.get(&id).cloned().unwrap_or_default();
            return Err(refusal(DiagnosticKind::AliasInItself { name }, place));
        };
        let values = *values;
        // Counted before it is copied.
        self.values += values;
        if self.values > VALUES_MAX {
            return Err(refusal(DiagnosticKind::TooManyValues { limit: VALUES_MAX }, place));
        }
        let copy = Node { place, value: node.value.clone() };
        self.finished(copy, 0, values);
        Ok(())
    }

    /// Puts a whole node where it belongs.
    fn finished(&mut self, node: Node, anchor: usize, values: usize) {
        if anchor != 0 {
            self.anchored.insert(anchor, (node.clone(), values));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { value: Value::List(list), .. }) => list.push(node),
            Some(Open { value: Value::Map(entries), key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            Some(Open { value: Value::Scalar { .. }, .. }) => {}
        }
    }

    fn count(&mut self, values: usize, place: &Place) -> Result<(), Refusal> {
        self.values += values;
        if self.values <= VALUES_MAX {
            return Ok(());
        }
        Err(refusal(DiagnosticKind::TooManyValues { limit: VALUES_MAX }, place.clone()))
    }

    fn place(&self, span: Span) -> Place {
        self.place_between(span.start, span.end)
    }

    /// From `start` to `end`, or to the end of the line if `end` is on another one or nowhere.
    fn place_between(&self, start: Marker, end: Marker) -> Place {
        let same_line = end.line() == start.line() && end.col() > start.col();
        let width = if same_line { end.col() - start.col() } else { usize::MAX };
        self.source.place(start.line(), start.col() + 1, width)
    }
}

fn syntax(error: &ScanError, source: &Source) -> Refusal {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    let place = source.place(line, column, 1);
    let (reason, remedy) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => {
            let tab = place.line_text.chars().position(|c| c == '\t').map_or(column, |at| at + 1);
            return refusal(DiagnosticKind::TabIndent, source.place(line, tab, 1));
        }
        ErrorKind::RecursionLimitExceeded => {
            return refusal(DiagnosticKind::NestedTooDeep { limit: DEPTH_MAX }, place);
        }
        kind => (syntax_reason(kind), syntax_remedy(kind)),
    };
    refusal(DiagnosticKind::Syntax { reason, remedy }, place)
}

/// The parser's own words, unless they name what only a parser knows.
fn syntax_reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::BlockEntryInFlowCollection => "a `[` or `{` above is still open".into(),
        ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::InvalidIndentation => "the indentation fits none of the lines above".into(),
        ErrorKind::MappingValueNotAllowed => "a `:` cannot stand here".into(),
        other => other.to_string(),
    }
}

fn refusal(kind: DiagnosticKind, place: Place) -> Refusal {
    Box::new(Diagnostic { kind, place: Some(place), notes: Vec::new() })
}

fn syntax_remedy(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::DocumentIndicatorInQuotedScalar
        | ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => "close the quote that was opened, on the same line",
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::BlockEntryInFlowCollection
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => "close each `[` with `]` and each `{` with `}`",
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            "put a `,` between two items, and close each `[` with `]` and each `{` with `}`"
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            "put one `key: value` on a line; quote a text that contains `: `"
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            "quote a text that begins with one of @ ` % & * ! | > [ ] { } , # ? -"
        }
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => {
            "write `\\\\` for a backslash in double quotes, or use single quotes"
        }
        ErrorKind::MissingAnchorOrAliasName => "quote a text that begins with `*` or `&`",
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "write `key: value`, with a blank behind the colon"
        }
        _ => "put one `key: value` or `- item` on a line, and indent the keys of one item alike, with blanks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Node>, Refusal> {
        parse(text, &Source::new("f", text))
    }

    fn root(text: &str) -> Node {
        read(text).unwrap().unwrap()
    }

    fn refused(text: &str) -> (&'static str, String) {
        let diagnostic = read(text).unwrap_err();
        (diagnostic.kind.code(), diagnostic.place.map(|place| place.to_string()).unwrap_or_default())
    }

    #[test]
    fn values_know_their_place() {
        let Value::Map(entries) = root("a: 1\nitems: [x, {k: v}]\n").value else { panic!("a mapping") };
        let (key, items) = &entries[1];
        assert_eq!((key.place.line, key.place.column, key.place.width), (2, 1, 5));
        assert_eq!((items.place.line, items.place.column, items.place.width), (2, 8, 11));
        let Value::List(items) = &items.value else { panic!("a list") };
        assert_eq!((items[1].place.column, items[1].place.width), (12, 6));
    }

    #[test]
    fn columns_count_characters() {
        let Value::Map(entries) = root("größe: \"ä\"\n").value else { panic!("a mapping") };
        assert_eq!((entries[0].1.place.column, entries[0].1.place.width), (8, 3));
    }

    #[test]
    fn an_alias_has_its_own_place() {
        let Value::Map(entries) = root("a: &a [x]\nb: *a\n").value else { panic!("a mapping") };
        assert_eq!((entries[1].1.place.line, entries[1].1.place.column), (2, 4));
        assert!(matches!(&entries[1].1.value, Value::List(list) if list.len() == 1));
    }

    #[test]
    fn only_what_is_not_quoted_can_be_null() {
        for text in ["", "~", "null", "---\n", "# nothing\n"] {
            assert!(read(text).unwrap().is_none(), "{text:?}");
        }
        assert!(read("'null'").unwrap().is_some());
    }

    #[test]
    fn one_document_only() {
        assert!(read("---\na: 1\n...\n").is_ok());
        assert_eq!(refused("a: 1\n---\nb: 2\n"), ("several_documents", "f:2:1".into()));
    }

    #[test]
    fn aliases_cannot_explode() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..10 {
            let previous = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", [previous.as_str(); 10].join(", "));
        }
        assert_eq!(refused(&text).0, "too_many_values");
        assert_eq!(refused("a: &a [*a]\n").0, "alias_in_itself");
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(refused(&"[".repeat(10_000)).0, "nested_too_deep");
        let nested_blocks: String = (0..100).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect();
        assert_eq!(refused(&nested_blocks).0, "nested_too_deep");
    }
}
