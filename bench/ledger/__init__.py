"""The ledger against a correct naive transaction and against a raw bulk insert of the same entries."""
