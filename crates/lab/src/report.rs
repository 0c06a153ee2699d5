//! The report: one HTML page that holds everything it shows. Curves are drawn in `svg`; what the
//! page looks like, light and dark, is in `report/style.css`.

mod html;
mod svg;

pub use html::page;
