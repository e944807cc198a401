import asyncio
import threading

# As a notebook does, the main thread keeps a loop running.
if threading.current_thread() is threading.main_thread():
    asyncio._set_running_loop(asyncio.new_event_loop())
