"""What the confirmation's runs prove: comparisons, and the verdict."""
