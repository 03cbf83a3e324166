//! Who may call a cell of static values one of shorter lived ones puts such a
//! one in, and the others read it as static.

use compat::qsbr::QsCell;

fn shorten<'c, 'v>(cell: &'c QsCell<&'static str>) -> &'c QsCell<&'v str> {
    cell
}

fn main() {}
