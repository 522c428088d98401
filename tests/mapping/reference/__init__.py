"""A mapping as an interpreter of closures: what the generated code must do, value by value and note by note."""
