//! Buckets through their public door: options in, objects out. The stores are other people's programs.

mod faults;
mod options;
mod proxy;
mod readers;
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use throughline_core::DynSink;

use crate::suite::{self, Subject};
use crate::try_build;
use proxy::Proxy;

const SECRET: &str = "sEcr3t-key-of-the-lake";
/// Of Azurite, as its documentation has them.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A bucket of its own, with the sink's options for it.
struct Lake {
    kind: &'static str,
    options: Value,
    /// To look into it past the sink.
    store: Arc<dyn ObjectStore>,
    /// Address without the prefix.
    address: String,
    proxy: Option<Proxy>,
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("lake{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// On a thread of its own, so that it can be asked for in the middle of an asynchronous test.
fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work)
        };
        scope.spawn(run).join().unwrap()
    })
}

fn plain(head: &str) -> String {
    head.to_owned()
}

/// Google's XML protocol is S3's with other names for conditions and versions
/// (https://cloud.google.com/storage/docs/xml-api/reference-headers).
fn as_google(head: &str) -> String {
    if head.starts_with("HTTP/") {
        return head.trim_end().to_owned() + "\r\nx-goog-generation: 1\r\n\r\n";
    }
    let head = head.replace("x-goog-if-generation-match: 0\r\n", "If-None-Match: *\r\n");
    let lines: Vec<&str> = head
        .trim_end()
        .split("\r\n")
        .filter(|l| !l.to_ascii_lowercase().starts_with("authorization:"))
        .collect();
    format!("{}\r\n{}\r\n\r\n", lines.join("\r\n"), servers::SIGNED)
}

impl Lake {
    fn s3(kind: &'static str) -> Option<Self> {
        let moto = servers::moto()?;
        let bucket = fresh_name();
        let proxy = Proxy::before(moto.port, plain);
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", moto.port))
            .with_allow_http(true)
            .with_bucket_name(&bucket)
            .with_access_key_id("AK")
            .with_secret_access_key("x");
        assert_eq!(moto.ask("PUT", &format!("/{bucket}")).0, 200);
        let options = json!({
            "path": format!("s3://{bucket}/shop/v1"),
            "s3": {
                "endpoint": format!("http://127.0.0.1:{}", proxy.port),
                "access_key_id": {"$secret": "AK"},
                "secret_access_key": {"$secret": SECRET},
            },
        });
        let (store, address) = (Arc::new(store.build().unwrap()), format!("s3://{bucket}"));
        Some(Self { kind, options, store, address, proxy: Some(proxy) })
    }

    fn gcs() -> Option<Self> {
        let s3 = Self::s3("parquet")?;
        let proxy = Proxy::before(servers::moto()?.port, as_google);
        let bucket = s3.address.strip_prefix("s3://").unwrap();
        let key = json!({
            "private_key": "", "private_key_id": "", "client_email": "sink@shop", "disable_oauth": true,
        });
        let options = json!({
            "path": format!("gs://{bucket}/shop/v1"),
            "gcs": {
                "endpoint": format!("http://127.0.0.1:{}", proxy.port),
                "service_account": {"$secret": key.to_string()},
            },
        });
        Some(Self { options, address: format!("gs://{bucket}"), proxy: Some(proxy), ..s3 })
    }

    fn azure() -> Option<Self> {
        let azurite = servers::azurite()?;
        let container = fresh_name();
        let endpoint = format!("http://127.0.0.1:{}/{ACCOUNT}", azurite.port);
        let store = MicrosoftAzureBuilder::new()
            .with_endpoint(endpoint.clone())
            .with_allow_http(true)
            .with_account(ACCOUNT)
            .with_access_key(ACCOUNT_KEY)
            .with_container_name(&container)
            .build()
            .unwrap();
        make_container(azurite.port, &container);
        let options = json!({
            "path": format!("az://{container}/shop/v1"),
            "azure": {"account": ACCOUNT, "access_key": {"$secret": ACCOUNT_KEY}, "endpoint": endpoint},
        });
        let (store, address) = (Arc::new(store), format!("az://{container}"));
        Some(Self { kind: "parquet", options, store, address, proxy: None })
    }

    fn with(&self, more: &Value) -> DynSink {
        let mut options = self.options.clone();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_build(self.kind, std::path::Path::new("/nowhere"), options).unwrap()
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }

    /// An object by its address, or by its name below the sink's prefix.
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let name =
            name.strip_prefix(&format!("{}/", self.address)).map_or(format!("shop/v1/{name}"), str::to_owned);
        wait(async {
            match self.store.get(&Path::parse(&name).unwrap()).await {
                Ok(got) => Some(got.bytes().await.unwrap().to_vec()),
                Err(object_store::Error::NotFound { .. }) => None,
                Err(e) => panic!("{name}: {e}"),
            }
        })
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let prefix = Path::parse(format!("shop/v1/{folder}")).unwrap();
        let found: Vec<_> = wait(async { self.store.list(Some(&prefix)).try_collect().await.unwrap() });
        let mut names: Vec<String> = found
            .iter()
            .map(|o: &object_store::ObjectMeta| o.location.to_string()["shop/v1/".len()..].to_owned())
            .collect();
        names.sort();
        names
    }

    fn current(&self) -> Option<Value> {
        Some(serde_json::from_slice(&self.get("current.json")?).unwrap())
    }
}

/// By hand: the store's client makes no containers
/// (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key).
fn make_container(port: u16, container: &str) {
    use base64::Engine as _;
    use hmac::Mac as _;
    use std::io::{Read as _, Write as _};
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06\n");
    let resource = format!("/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container");
    let text = format!("PUT{}{headers}{resource}", "\n".repeat(12));
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&base64.decode(ACCOUNT_KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    let signature = base64.encode(mac.finalize().into_bytes());
    let head = format!(
        "PUT /{ACCOUNT}/{container}?restype=container HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{}Authorization: SharedKey \
         {ACCOUNT}:{signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        headers.replace('\n', "\r\n"),
    );
    let mut store = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    store.write_all(head.as_bytes()).unwrap();
    let mut reply = String::new();
    store.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
}

impl Subject for Lake {
    fn sink(&self) -> DynSink {
        let mut more = json!({"keep_epochs": 100});
        if self.kind == "csv" {
            more["null"] = json!("∅");
        }
        self.with(&more)
    }

    fn read(&self, table: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
        let current = self.current()?;
        let table = current["tables"].get(table)?;
        let mut rows = Vec::new();
        for file in table["files"].as_array().unwrap() {
            let bytes = self.get(file.as_str().unwrap()).expect("a file that readers are sent to");
            rows.extend(if self.kind == "csv" {
                csv_rows(&bytes, columns)
            } else {
                parquet_rows(bytes, columns)
            });
        }
        assert_eq!(rows.len() as u64, table["rows"].as_u64().unwrap());
        rows.sort();
        Some(rows)
    }

    fn staged(&self) -> usize {
        let committed: Vec<String> = self
            .names("commits")
            .iter()
            .map(|name| {
                serde_json::from_slice::<Value>(&self.get(name).unwrap()).unwrap()["txn"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let of = |name: &String| name.split('/').nth(1).unwrap().to_owned();
        self.names("data").iter().filter(|name| !committed.contains(&of(name))).count()
    }

    fn refuses_other_types(&self) -> bool {
        false
    }
}

fn parquet_rows(bytes: Vec<u8>, columns: &[&str]) -> Vec<Vec<String>> {
    let format = FormatOptions::default().with_null("∅");
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let columns: Vec<ArrayFormatter> = columns
            .iter()
            .map(|c| ArrayFormatter::try_new(batch.column_by_name(c).unwrap(), &format).unwrap())
            .collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()),
        );
    }
    rows
}

fn csv_rows(bytes: &[u8], columns: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let header = reader.headers().unwrap().clone();
    let places: Vec<usize> = columns.iter().map(|c| header.iter().position(|h| h == *c).unwrap()).collect();
    reader.records().map(|r| places.iter().map(|p| r.as_ref().unwrap()[*p].to_owned()).collect()).collect()
}

#[tokio::test]
async fn parquet_on_s3_in_the_suite() {
    if servers::moto().is_some() {
        suite::run(|| Lake::s3("parquet").unwrap()).await;
    }
}

/// What differs from Parquet on S3: files that are no folders, and Google's conditions. The rest is the same code.
#[tokio::test]
async fn csv_on_s3_and_parquet_on_google_cloud_storage() {
    if servers::moto().is_none() {
        return;
    }
    for lake in [Lake::s3("csv").unwrap(), Lake::gcs().unwrap()] {
        let of = [suite::rows(&[(1, Some("б"), 1), (2, None, 2)]), suite::rows(&[(3, Some(""), 3)])];
        let report = lake.sink().check(&crate::context()).await.unwrap();
        assert!(report.facts.contains(&("state".into(), "empty".into())), "{report:?}");
        for (n, rows) in of.iter().chain(&of).enumerate() {
            suite::epoch(
                &lake.sink(),
                &format!("t{n}"),
                &[(suite::table("a", &[], rows), vec![rows.clone()])],
            )
            .await;
            assert_eq!(lake.read("a", &["id"]).unwrap().len(), rows.num_rows());
        }
        // Of two at once both stand, one after the other.
        let publish = async |n: i64| {
            let rows = suite::rows(&[(n, None, 1)]);
            suite::epoch(&lake.sink(), &format!("u{n}"), &[(suite::table("a", &[], &rows), vec![rows])])
                .await;
        };
        futures::future::join(publish(7), publish(8)).await;
        let kept =
            lake.with(&json!({})).drop_older(&crate::context(), &throughline_core::TxnId("t3".into())).await;
        assert_eq!((kept.unwrap(), lake.names("commits").len(), lake.staged()), (Some(3), 3, 0));
    }
}

#[tokio::test]
async fn parquet_on_azure_in_the_suite() {
    if servers::azurite().is_some() {
        suite::run(|| Lake::azure().unwrap()).await;
    }
}
