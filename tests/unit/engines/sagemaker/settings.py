"""Valid settings of the SageMaker engine."""

VALID = {
    "engine": "sagemaker",
    "bucket": "bins",
    "out": "s3://results/nightly",
    "image_uri": "1.dkr.ecr.us-east-1.amazonaws.com/reconcile:1",
    "role": "arn:aws:iam::1:role/reconcile",
    "instance_type": "ml.c5.xlarge",
    "region": "us-east-1",
}
