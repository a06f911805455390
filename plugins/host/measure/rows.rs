// What the built-in source and the plugin both do: read a page of JSON into columns. Included by both, so that
// nothing differs but the way the rows take.

/// Rows of a batch.
pub const ROWS: usize = 8192;

#[derive(serde::Deserialize)]
struct Deal<'a> {
    id: i64,
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    status: std::borrow::Cow<'a, str>,
    price: i64,
    created_at: i64,
    updated_at: i64,
    responsible: i64,
    #[serde(borrow)]
    phone: Option<std::borrow::Cow<'a, str>>,
}

/// A page as a vendor sends it.
pub fn page() -> Vec<u8> {
    let mut text = String::from("[");
    for i in 0..ROWS {
        if i > 0 {
            text.push(',');
        }
        text += &format!(
            "{{\"id\":{i},\"name\":\"Сделка {i} с сайта\",\"status\":\"in progress\",\"price\":{},\"created_at\":{},\
             \"updated_at\":{},\"responsible\":{},\"phone\":\"+7916{:07}\",\"tags\":[\"a\",\"b\"],\"note\":null}}",
            i * 37 % 90_000,
            1_760_000_000 + i,
            1_760_500_000 + i,
            i % 12,
            i
        );
    }
    text.push(']');
    text.into_bytes()
}

pub fn columns(page: &[u8]) -> std::result::Result<RecordBatch, String> {
    let deals: Vec<Deal<'_>> = serde_json::from_slice(page).map_err(|e| format!("a page of deals: {e}"))?;
    let ints = |of: fn(&Deal<'_>) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(deals.iter().map(of))) };
    let columns: [(&str, ArrayRef); 8] = [
        ("id", ints(|d| d.id)),
        ("name", Arc::new(StringArray::from_iter_values(deals.iter().map(|d| &d.name)))),
        ("status", Arc::new(StringArray::from_iter_values(deals.iter().map(|d| &d.status)))),
        ("price", ints(|d| d.price)),
        ("created_at", ints(|d| d.created_at)),
        ("updated_at", ints(|d| d.updated_at)),
        ("responsible", ints(|d| d.responsible)),
        ("phone", Arc::new(StringArray::from_iter(deals.iter().map(|d| d.phone.as_deref())))),
    ];
    RecordBatch::try_from_iter(columns).map_err(|e| format!("the columns of a page: {e}"))
}
