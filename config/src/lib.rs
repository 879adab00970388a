//! The YAML: model, validation with line and column.
