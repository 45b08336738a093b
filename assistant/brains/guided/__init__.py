"""A deterministic dialogue engine that is itself a LangChain chat model."""
