"""What lets the processes of the tests into their S3 server (`s3_server`)."""

KEY, SECRET = "tester", "tester-secret"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
