"""The local data matrix of many classes, from products with vectors."""
