"""Pages for people, made of figures that were computed elsewhere: self-contained HTML, no scripts, no addresses."""
