"""The local data matrix of many classes, by products with vectors."""
