//! One SELECT: parsed, with its `$name` placeholders filled in, before any table is known.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Query, SetExpr, Statement as Ast, Value, ValueWithSpan, Visit, VisitMut,
    Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, Tokenizer};
use throughline_core::{Error, Param, Result};

use crate::error;

/// Parses one SELECT (or `WITH ... SELECT`, or `VALUES`); everything else is refused.
///
/// # Errors
/// Kind `Config`, with `sql_line` and `sql_column` in the context where the parser knows them.
pub fn check_syntax(select: &str) -> Result<()> {
    parse(select).map(drop)
}

/// The tables a SELECT reads, sorted, each once; names of its own `WITH` parts are not among them.
/// Unquoted names come in lower case, as the engine reads them.
///
/// # Errors
/// As [`check_syntax`].
pub fn sql_tables(select: &str) -> Result<Vec<String>> {
    let statement = parse(select)?;
    let (tables, _) =
        resolve_table_references(&statement, true).map_err(|e| error::planning(&e, select, &[]))?;
    let mut names: Vec<String> = tables.iter().map(ToString::to_string).collect();
    for (name, table) in names.iter_mut().zip(&tables) {
        if table.schema().is_none() {
            *name = table.table().to_string();
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

pub(crate) fn parse(select: &str) -> Result<Statement> {
    let mut statements = DFParserBuilder::new(select)
        .with_dialect(&GenericDialect {})
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|e| error::planning(&e, select, &[]))?;
    if statements.len() > 1 {
        let refused = Error::config("there is more than one SQL statement here").hint("write one SELECT");
        return Err(match second_statement(select) {
            Some(at) => error::at(refused, at),
            None => refused,
        });
    }
    let Some(statement) = statements.pop_front() else {
        return Err(Error::config("there is no SQL statement here").hint("write one SELECT"));
    };
    if let Statement::Statement(ast) = &statement
        && let Ast::Query(query) = ast.as_ref()
        && only_reads(query)
    {
        return Ok(statement);
    }
    let refused = Error::config(format!("a SELECT was expected, but this is {}", leading_word(select)));
    Err(error::at(
        refused.hint("only SELECT (with WITH, if needed) is run here; the engine writes the result itself"),
        first_token(select),
    ))
}

/// No INSERT, UPDATE, DELETE or SELECT INTO hides in the query or in a part of it.
fn only_reads(query: &Query) -> bool {
    struct Writes;
    impl Visitor for Writes {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if writes(&query.body) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    fn writes(body: &SetExpr) -> bool {
        match body {
            SetExpr::Select(select) => select.into.is_some(),
            SetExpr::SetOperation { left, right, .. } => writes(left) || writes(right),
            SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => false,
            _ => true,
        }
    }
    query.visit(&mut Writes).is_continue()
}

fn tokens(select: &str) -> impl Iterator<Item = (Token, Span)> {
    Tokenizer::new(&GenericDialect {}, select)
        .tokenize_with_location()
        .unwrap_or_default()
        .into_iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_)))
        .map(|t| (t.token, t.span))
}

fn leading_word(select: &str) -> String {
    tokens(select).next().map_or_else(|| "empty".into(), |(token, _)| token.to_string().to_uppercase())
}

fn first_token(select: &str) -> Location {
    tokens(select).next().map_or_else(Location::empty, |(_, span)| span.start)
}

fn second_statement(select: &str) -> Option<Location> {
    tokens(select)
        .skip_while(|(token, _)| *token != Token::SemiColon)
        .find(|(token, _)| *token != Token::SemiColon)
        .map(|(_, span)| span.start)
}

/// Where the text ends, for what is missing there.
pub(crate) fn end_of(select: &str) -> Option<Location> {
    tokens(select).last().map(|(_, span)| span.end)
}

/// Where an identifier stands in the text, for errors that DataFusion gives no span.
pub(crate) fn find_identifier(select: &str, name: &str) -> Option<Location> {
    tokens(select)
        .find(|(token, _)| match token {
            Token::Word(word) if word.quote_style.is_some() => word.value == name,
            Token::Word(word) => word.value.eq_ignore_ascii_case(name),
            _ => false,
        })
        .map(|(_, span)| span.start)
}

/// Puts literals in the place of `$name`. Done in the parsed text rather than in the plan, so that
/// types are known while planning, a null included.
pub(crate) fn fill(statement: &mut Statement, params: &[(String, Param)]) -> Result<()> {
    let Statement::Statement(ast) = statement else {
        return Err(Error::bug("placeholders are filled in SELECTs only"));
    };
    match VisitMut::visit(ast.as_mut(), &mut Fill { params }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(e) => Err(e),
    }
}

struct Fill<'a> {
    params: &'a [(String, Param)],
}

impl VisitorMut for Fill<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = expr else {
            return ControlFlow::Continue(());
        };
        let bare = name.strip_prefix('$').unwrap_or(name);
        let Some((_, param)) = self.params.iter().find(|(n, _)| n == bare) else {
            let known: Vec<_> = self.params.iter().map(|(n, _)| format!("${n}")).collect();
            let missing = Error::config(format!("the placeholder {name} has no value"));
            return ControlFlow::Break(error::at(
                match known.is_empty() {
                    true => missing.hint("no parameters are given to this SELECT"),
                    false => missing.hint(format!("there are {}", known.join(", "))),
                },
                span.start,
            ));
        };
        *expr = literal(param, *span);
        ControlFlow::Continue(())
    }
}

fn literal(param: &Param, span: Span) -> Expr {
    let value = |value| Expr::Value(ValueWithSpan { value, span });
    let cast = |expr, data_type| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    };
    match param {
        Param::Text(Some(text)) => value(Value::SingleQuotedString(text.clone())),
        Param::Text(None) => cast(value(Value::Null), DataType::Text),
        // A bare number only where it has no sign: LIMIT wants a literal.
        Param::Int(n) if *n >= 0 => value(Value::Number(n.to_string(), false)),
        Param::Int(n) => cast(value(Value::SingleQuotedString(n.to_string())), DataType::BigInt(None)),
        Param::Bool(b) => value(Value::Boolean(*b)),
    }
}
