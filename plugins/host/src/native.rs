//! Asking a library that is loaded in this process: the only place where a plugin's functions are called.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use serde_json::Value;
use throughline_plugin_abi as abi;

use crate::check;
use crate::failure::Failure;
use crate::load::Loaded;
use crate::services::{Scope, Services};
use crate::session::{Answer, Ask, Brought, Session, Stopper, missing};

pub(crate) struct NativeSession {
    plugin: &'static Loaded,
    scope: NonNull<Scope>,
    instance: Arc<Instance>,
    reader: *mut abi::tl_reader,
    writer: *mut abi::tl_writer,
    /// Of the reader's batches: sent with the first and when it changes.
    read_schema: Option<SchemaRef>,
    /// Whether batches are checked value by value here; behind a pipe the reader of the pipe does it.
    validate: bool,
    write_schema: Option<SchemaRef>,
    /// The plugin broke a promise: nothing of it is called again, not even to close.
    poisoned: bool,
}

/// Shared with whoever may cancel. Empty before `open` and after `close`.
struct Instance(std::sync::Mutex<Option<InstancePtr>>, &'static Loaded);

#[derive(Clone, Copy)]
struct InstancePtr(*mut abi::tl_instance);

// SAFETY: an instance may be used on several threads (header, "Rules"); readers and writers stay on the thread
// that has the session.
unsafe impl Send for InstancePtr {}
unsafe impl Send for NativeSession {}

impl NativeSession {
    pub fn new(plugin: &'static Loaded, services: Arc<dyn Services>, validate: bool) -> Self {
        Self {
            plugin,
            scope: NonNull::from(Box::leak(Box::new(Scope(services)))),
            instance: Arc::new(Instance(std::sync::Mutex::new(None), plugin)),
            reader: null_mut(),
            writer: null_mut(),
            read_schema: None,
            validate,
            write_schema: None,
            poisoned: false,
        }
    }

    fn scope(&self) -> *mut c_void {
        self.scope.as_ptr().cast()
    }

    fn instance(&self) -> Answer<*mut abi::tl_instance> {
        let open = *lock(&self.instance.0);
        open.map(|i| i.0)
            .ok_or_else(|| Failure::new(abi::TL_PANIC, "the plugin was asked before it was opened"))
    }

    /// Calls a function that gives JSON.
    fn json(&mut self, call: impl FnOnce(*mut abi::tl_buf, *mut abi::tl_error) -> i32) -> Answer<Value> {
        let mut out = abi::tl_buf::EMPTY;
        self.call(|error| call(&raw mut out, error))?;
        // SAFETY: filled by the call that succeeded.
        let bytes = unsafe { out.take() };
        parsed(&bytes)
    }

    fn call(&mut self, call: impl FnOnce(*mut abi::tl_error) -> i32) -> Answer<()> {
        if self.poisoned {
            return Err(Failure::new(
                abi::TL_PANIC,
                "the plugin broke down before; this instance is not used again",
            ));
        }
        let mut error = abi::tl_error::empty();
        let code = call(&raw mut error);
        // SAFETY: filled by that call, or empty.
        let failure = unsafe { Failure::of(code, &mut error) };
        match code {
            abi::TL_OK => Ok(()),
            code => {
                self.poisoned = code == abi::TL_PANIC || !(abi::TL_OK..=abi::TL_PANIC).contains(&code);
                Err(failure)
            }
        }
    }

    /// Says that the plugin broke the interface; nothing of it is called again.
    fn broke(&mut self, what: impl std::fmt::Display) -> Failure {
        self.poisoned = true;
        Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: {what}"))
    }

    fn batch(&mut self, event: &mut abi::tl_event) -> Answer<RecordBatch> {
        if let Err(what) = plausible(&event.array, 0) {
            // Not even released: it is not what it says.
            event.array = abi::ArrowArray::EMPTY;
            return Err(self.broke(what));
        }
        // SAFETY: moved out: the structs are ours to release, and are the same in arrow's own words.
        let (array, schema) = unsafe {
            let has_schema = event.schema.release.is_some();
            let array = std::ptr::read((&raw const event.array).cast::<FFI_ArrowArray>());
            let schema = std::ptr::read((&raw const event.schema).cast::<FFI_ArrowSchema>());
            event.array = abi::ArrowArray::EMPTY;
            event.schema = abi::ArrowSchema::EMPTY;
            (array, has_schema.then_some(schema))
        };
        let (known, validate) = (self.read_schema.clone(), self.validate);
        // arrow asserts what it can: a plugin that writes rubbish must not end the process.
        let imported = catch_unwind(AssertUnwindSafe(|| import(array, schema.as_ref(), known, validate)));
        match imported {
            Ok(Ok((rows, schema))) => {
                self.read_schema = Some(schema);
                Ok(rows)
            }
            Ok(Err(what)) => Err(self.broke(what)),
            Err(_) => Err(self.broke("a batch that is no Arrow data")),
        }
    }
}

/// Whether lengths and pointers are such that they can be followed at all.
fn plausible(array: &abi::ArrowArray, depth: u32) -> Result<(), String> {
    if array.length < 0 || array.offset < 0 || array.null_count < -1 || array.null_count > array.length {
        return Err(format!("a batch with a length of {}", array.length));
    }
    if !(0..=4).contains(&array.n_buffers) || (array.n_buffers > 0 && array.buffers.is_null()) {
        return Err(format!("a column of {} buffers", array.n_buffers));
    }
    if !(0..=10_000).contains(&array.n_children)
        || (array.n_children > 0 && array.children.is_null())
        || depth > 64
    {
        return Err(format!("a batch of {} columns", array.n_children));
    }
    for i in 0..array.n_children as usize {
        // SAFETY: a list of so many pointers, as the struct says; each is followed only when there is one.
        let child = unsafe { (*array.children.add(i)).as_ref() }.ok_or("a column that is not there")?;
        plausible(child, depth + 1)?;
    }
    Ok(())
}

/// Takes a batch over. With `validate` everything is checked that can be: lengths, offsets, UTF-8.
fn import(
    array: FFI_ArrowArray,
    schema: Option<&FFI_ArrowSchema>,
    known: Option<SchemaRef>,
    validate: bool,
) -> Result<(RecordBatch, SchemaRef), String> {
    if array.is_released() {
        return Err("a batch without an array".into());
    }
    let schema = match (schema, known) {
        (Some(schema), _) => {
            Arc::new(Schema::try_from(schema).map_err(|e| format!("a schema that is none: {e}"))?)
        }
        (None, Some(known)) => known,
        (None, None) => return Err("the first batch has no schema".into()),
    };
    if array.num_children() != schema.fields().len() {
        return Err(format!("{} columns for a schema of {}", array.num_children(), schema.fields().len()));
    }
    let kind = DataType::Struct(schema.fields().clone());
    // SAFETY: the array describes itself as the interface demands; what that cannot show is the plugin's word.
    let mut data =
        unsafe { arrow::ffi::from_ffi_and_data_type(array, kind) }.map_err(|e| format!("a batch: {e}"))?;
    data.align_buffers();
    if validate {
        check::check(&data).map_err(|e| format!("a batch: {e}"))?;
    }
    let table = StructArray::from(data);
    if table.null_count() > 0 {
        return Err("rows that are null as a whole".into());
    }
    let (_, columns, _) = table.into_parts();
    let rows = columns.first().map_or(0, |c| c.len());
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| format!("a batch: {e}"))?;
    Ok((batch, schema))
}

impl Session for NativeSession {
    fn ask(&mut self, ask: Ask) -> Answer<Value> {
        let (table, scope) = (self.plugin.table(), self.scope());
        // SAFETY of every call below: the functions are the plugin's, the arguments are as the header says and
        // live for the call; the instance, reader or writer is open.
        match ask {
            Ask::Manifest => {
                let f = table.manifest.ok_or_else(|| missing("manifest"))?;
                let plugin = self.plugin.table_ptr();
                let mut manifest = self.json(|out, error| unsafe { f(plugin, out, error) })?;
                if let Value::Object(fields) = &mut manifest {
                    fields.insert("offers".into(), offers(table));
                }
                Ok(manifest)
            }
            Ask::Open { config } => {
                let f = table.open.ok_or_else(|| missing("open"))?;
                let plugin = self.plugin.table_ptr();
                let config = config.to_string();
                let mut instance = null_mut();
                self.call(|error| unsafe {
                    f(plugin, scope, abi::tl_str::of(&config), &raw mut instance, error)
                })?;
                if instance.is_null() {
                    return Err(self.broke("open succeeded and gave no instance"));
                }
                *lock(&self.instance.0) = Some(InstancePtr(instance));
                Ok(Value::Null)
            }
            Ask::Check => {
                let (f, instance) = (table.check.ok_or_else(|| missing("check"))?, self.instance()?);
                self.json(|out, error| unsafe { f(instance, scope, out, error) })
            }
            Ask::Catalog => {
                let (f, instance) = (table.catalog.ok_or_else(|| missing("catalog"))?, self.instance()?);
                self.json(|out, error| unsafe { f(instance, out, error) })
            }
            Ask::Discover => {
                let (f, instance) = (table.discover.ok_or_else(|| missing("discover"))?, self.instance()?);
                self.json(|out, error| unsafe { f(instance, scope, out, error) })
            }
            Ask::Mappings => {
                let (f, instance) = (table.mappings.ok_or_else(|| missing("mappings"))?, self.instance()?);
                self.json(|out, error| unsafe { f(instance, out, error) })
            }
            Ask::ReadOpen { request, checkpoint } => {
                let (f, instance) = (table.read_open.ok_or_else(|| missing("read_open"))?, self.instance()?);
                if table.read_next.is_none() || table.read_close.is_none() {
                    return Err(missing("read_next or read_close"));
                }
                let request = request.to_string();
                let checkpoint = checkpoint.map(|c| c.to_string()).unwrap_or_default();
                let mut reader = null_mut();
                self.call(|error| unsafe {
                    let (request, checkpoint) = (abi::tl_str::of(&request), abi::tl_str::of(&checkpoint));
                    f(instance, scope, request, checkpoint, &raw mut reader, error)
                })?;
                if reader.is_null() {
                    return Err(self.broke("read_open succeeded and gave no reader"));
                }
                self.reader = reader;
                Ok(Value::Null)
            }
            Ask::Committed { stream, checkpoint } => {
                let (f, instance) = (table.committed.ok_or_else(|| missing("committed"))?, self.instance()?);
                let checkpoint = checkpoint.to_string();
                self.call(|error| unsafe {
                    f(instance, scope, abi::tl_str::of(&stream), abi::tl_str::of(&checkpoint), error)
                })?;
                Ok(Value::Null)
            }
            Ask::WriteOpen { table: about, txn } => {
                let (f, instance) =
                    (table.write_open.ok_or_else(|| missing("write_open"))?, self.instance()?);
                if table.write_batch.is_none() || table.write_prepare.is_none() || table.write_close.is_none()
                {
                    return Err(missing("write_batch, write_prepare or write_close"));
                }
                let Some(schema) = self.write_schema.clone() else {
                    return Err(Failure::new(abi::TL_PANIC, "a table without a schema"));
                };
                let schema = FFI_ArrowSchema::try_from(schema.as_ref())
                    .map_err(|e| Failure::new(abi::TL_DATA, format!("the table's schema: {e}")))?;
                let about = about.to_string();
                let mut writer = null_mut();
                self.call(|error| unsafe {
                    let schema = (&raw const schema).cast::<abi::ArrowSchema>();
                    let (about, txn) = (abi::tl_str::of(&about), abi::tl_str::of(&txn));
                    f(instance, scope, about, schema, txn, &raw mut writer, error)
                })?;
                if writer.is_null() {
                    return Err(self.broke("write_open succeeded and gave no writer"));
                }
                self.writer = writer;
                Ok(Value::Null)
            }
            Ask::Prepare => {
                let f = table.write_prepare.ok_or_else(|| missing("write_prepare"))?;
                let writer = self.writer;
                if writer.is_null() {
                    return Err(Failure::new(abi::TL_PANIC, "prepare without a writer"));
                }
                self.json(|out, error| unsafe { f(writer, out, error) })
            }
            Ask::Commit { txn, committables } => {
                let (f, instance) = (table.commit.ok_or_else(|| missing("commit"))?, self.instance()?);
                let committables = committables.to_string();
                self.json(|out, error| unsafe {
                    f(instance, scope, abi::tl_str::of(&txn), abi::tl_str::of(&committables), out, error)
                })
            }
            Ask::Abort { txn } => {
                let (f, instance) = (table.abort.ok_or_else(|| missing("abort"))?, self.instance()?);
                self.call(|error| unsafe { f(instance, scope, abi::tl_str::of(&txn), error) })?;
                Ok(Value::Null)
            }
        }
    }

    fn next(&mut self) -> Answer<Brought> {
        let f = self.plugin.table().read_next.ok_or_else(|| missing("read_next"))?;
        let reader = self.reader;
        if reader.is_null() {
            return Err(Failure::new(abi::TL_PANIC, "next without a reader"));
        }
        let mut event = abi::tl_event::empty();
        // SAFETY: the reader is open; the event is ours and empty.
        let called = self.call(|error| unsafe { f(reader, &raw mut event, error) });
        // SAFETY: whatever the call filled in is ours.
        let json = unsafe { event.json.take() };
        let brought = called.and_then(|()| match event.kind {
            abi::TL_END => Ok(Brought::End),
            abi::TL_BATCH => {
                let about = parsed(&json)?;
                Ok(Brought::Rows { rows: self.batch(&mut event)?, about })
            }
            kind => Ok(Brought::Other { kind, json: parsed(&json)? }),
        });
        release(&mut event);
        brought
    }

    fn rows_are(&mut self, schema: SchemaRef) -> Answer<()> {
        self.write_schema = Some(schema);
        Ok(())
    }

    fn write(&mut self, rows: RecordBatch) -> Answer<Value> {
        let f = self.plugin.table().write_batch.ok_or_else(|| missing("write_batch"))?;
        let writer = self.writer;
        if writer.is_null() {
            return Err(Failure::new(abi::TL_PANIC, "rows without a writer"));
        }
        // The plugin releases it: what is left here must not.
        let mut array =
            std::mem::ManuallyDrop::new(FFI_ArrowArray::new(&StructArray::from(rows).into_data()));
        self.json(|out, error| {
            // SAFETY: the writer is open, the array moves to the plugin.
            unsafe { f(writer, (&raw mut *array).cast::<abi::ArrowArray>(), out, error) }
        })
    }

    fn stopper(&self) -> Stopper {
        let instance = self.instance.clone();
        Arc::new(move || {
            // Held while the plugin is told, so that it is not closed meanwhile.
            let open = lock(&instance.0);
            if let (Some(InstancePtr(open)), Some(cancel)) = (*open, instance.1.table().cancel) {
                // SAFETY: the instance is open; cancel may be called from any thread.
                unsafe { cancel(open) };
            }
        })
    }
}

impl Drop for NativeSession {
    fn drop(&mut self) {
        let open = lock(&self.instance.0).take();
        if self.poisoned {
            // Leaked: a plugin in disorder is left alone.
            return;
        }
        let table = self.plugin.table();
        // SAFETY: each is open and closed once, readers and writers before their instance; the scope outlives
        // them all.
        unsafe {
            if let (false, Some(close)) = (self.reader.is_null(), table.read_close) {
                close(self.reader);
            }
            if let (false, Some(close)) = (self.writer.is_null(), table.write_close) {
                close(self.writer);
            }
            if let (Some(InstancePtr(instance)), Some(close)) = (open, table.close) {
                close(instance);
            }
            drop(Box::from_raw(self.scope.as_ptr()));
        }
    }
}

/// The optional functions that are there: so nobody has to ask in vain.
fn offers(table: &abi::tl_plugin) -> Value {
    let all = [
        ("discover", table.discover.is_some()),
        ("committed", table.committed.is_some()),
        ("cancel", table.cancel.is_some()),
    ];
    all.into_iter().filter_map(|(name, there)| there.then_some(name)).collect()
}

/// Releases what nobody took over.
fn release(event: &mut abi::tl_event) {
    // SAFETY: filled by the plugin or empty; each is released once.
    unsafe {
        if let Some(release) = event.array.release {
            release(&raw mut event.array);
        }
        if let Some(release) = event.schema.release {
            release(&raw mut event.schema);
        }
    }
}

fn parsed(bytes: &[u8]) -> Answer<Value> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|e| {
        Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: JSON that is none: {e}"))
    })
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
