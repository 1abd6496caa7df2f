//! What tests share.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::ui::Ui;

/// Keeps what a command wrote.
#[derive(Clone, Default)]
pub(crate) struct Paper {
    out: Written,
    err: Written,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(crate) fn ui(&self, json: bool) -> Ui {
        Ui::into_writers(json, self.out.clone(), self.err.clone())
    }

    pub(crate) fn out(&self) -> String {
        self.out.text()
    }

    pub(crate) fn err(&self) -> String {
        self.err.text()
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
