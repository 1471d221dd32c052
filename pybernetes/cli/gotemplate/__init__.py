"""Go's text/template, as far as `-o go-template` needs it: text to tokens to nodes to text."""
