"""Routes in other vendors' shapes: what is scored and embedded for them, and how they are told of errors."""
