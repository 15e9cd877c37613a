"""Pictures of estimates and laws."""
