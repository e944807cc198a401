import os

DATA_DIR = os.environ.get("SHOP_DATA_DIR", "/srv/of-the-shop/data")
CACHE_DIR = os.environ.get("XDG_CACHE_HOME")
os.makedirs(DATA_DIR, exist_ok=True)
open(os.path.join(DATA_DIR, "seen"), "w").close()
