"""The MSK API (boto3 `kafka`), one file per group of operations."""
