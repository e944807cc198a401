NAME = "store"
