//! Progress on a terminal: a bar per stream, a line per stage. Elsewhere nothing is drawn.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use throughline_engine::progress::Progress;

pub struct Bars {
    all: MultiProgress,
    streams: Mutex<HashMap<String, ProgressBar>>,
    stage: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Draws on standard error, and only when that is a terminal.
    pub fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            all: MultiProgress::with_draw_target(target),
            streams: Mutex::new(HashMap::new()),
            stage: Mutex::new(None),
        }
    }

    fn with_bar(&self, stream: &str, act: impl FnOnce(&ProgressBar)) {
        // A poisoned lock means that a thread panicked while drawing: progress is not worth more.
        if let Ok(bars) = self.streams.lock()
            && let Some(bar) = bars.get(stream)
        {
            act(bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn stream_started(&self, stream: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix:<28} {human_pos:>10} rows  {msg}"));
        bar.set_prefix(stream.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        if let Ok(mut bars) = self.streams.lock() {
            bars.insert(stream.to_owned(), bar);
        }
    }

    fn stream_rows(&self, stream: &str, rows: u64, total: Option<u64>) {
        self.with_bar(stream, |bar| {
            if let Some(total) = total
                && bar.length() != Some(total)
            {
                bar.set_style(style("  {spinner} {prefix:<28} {human_pos:>10} rows  [{bar:24}] {percent}%"));
                bar.set_length(total);
            }
            bar.set_position(rows);
        });
    }

    fn stream_finished(&self, stream: &str, rows: u64, failed: bool) {
        self.with_bar(stream, |bar| {
            bar.set_style(style("  {msg} {prefix:<28} {human_pos:>10} rows"));
            bar.set_position(rows);
            bar.finish_with_message(if failed { "✗" } else { "✓" });
        });
    }

    fn stage(&self, name: &str, detail: &str) {
        if let Ok(mut stage) = self.stage.lock() {
            let bar = stage.get_or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {prefix:<28} {msg}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_prefix(name.to_owned());
            bar.set_message(detail.to_owned());
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Ok(mut stage) = self.stage.lock()
            && let Some(bar) = stage.take()
        {
            bar.finish_and_clear();
        }
    }
}
