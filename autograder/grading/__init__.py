"""Running what students hand in: sandbox, model check, hidden set, predictions, counting."""
