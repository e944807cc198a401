NAME = "billing"
