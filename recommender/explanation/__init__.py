"""Why an item is where it is: read from the model and from the decision's record, changing neither."""
