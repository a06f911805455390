//! Scalar functions for mapping SQL: thin, array-at-a-time covers of pure functions of
//! `throughline-core`. Null in, null out; bad data gives null, never an error.

mod decimal;
mod history;
mod input;
mod instant;
mod json;
mod phone;
mod token;
mod web;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use input::{Arg, Inputs};

/// Registers all; gives back the one that reading files needs too.
pub(crate) fn register(ctx: &SessionContext) -> Arc<ScalarUDF> {
    let decimal_text = Arc::new(ScalarUDF::from(decimal::decimal_text()));
    ctx.register_udf(decimal_text.as_ref().clone());
    let all =
        [decimal::all(), history::all(), instant::all(), json::all(), phone::all(), token::all(), web::all()];
    for function in all.into_iter().flatten() {
        ctx.register_udf(function.into());
    }
    decimal_text
}

/// One function: its arguments, its result, and the loop over rows.
pub(crate) struct Function {
    name: &'static str,
    args: &'static [Arg],
    returns: DataType,
    run: fn(&Inputs) -> Result<ArrayRef>,
    /// Refuses a constant (a path, a zone) that can never be right, when the SQL is planned. The
    /// same from a column is bad data, which gives null.
    check: Option<(usize, Check)>,
    signature: Signature,
}

type Check = fn(&str) -> Result<(), String>;

impl Function {
    pub(crate) fn new(
        name: &'static str,
        args: &'static [Arg],
        returns: DataType,
        run: fn(&Inputs) -> Result<ArrayRef>,
    ) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name, args, returns, run, check: None, signature }
    }
    pub(crate) fn checked(mut self, index: usize, check: Check) -> Self {
        self.check = Some((index, check));
        self
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
// A name stands for one function here.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Function {}
impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Some((index, check)) = self.check
            && let Some(Some(constant)) = args.scalar_arguments.get(index)
            && let Some(Some(text)) = constant.try_as_str()
        {
            check(text).map_err(|why| DataFusionError::Plan(format!("{}: {why}", self.name)))?;
        }
        Ok(Arc::new(Field::new(self.name, self.returns.clone(), true)))
    }
    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.len() != self.args.len() {
            return Err(DataFusionError::Plan(format!(
                "{}: takes {} arguments ({}), not {}",
                self.name,
                self.args.len(),
                self.args.iter().map(|a| a.word()).collect::<Vec<_>>().join(", "),
                given.len()
            )));
        }
        let coerced = self.args.iter().zip(given).enumerate().map(|(i, (arg, kind))| {
            arg.coerce(kind).ok_or_else(|| {
                DataFusionError::Plan(format!(
                    "{}: argument {} is {}, and {kind} does not become that; write CAST",
                    self.name,
                    i + 1,
                    arg.word()
                ))
            })
        });
        coerced.collect()
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result = (self.run)(&Inputs::new(args.args, rows)?)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
