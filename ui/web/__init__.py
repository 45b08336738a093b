"""The Gradio app. Importing this package tells Gradio to stay quiet before it is imported."""

from tools.settings import set_default_environment

set_default_environment(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
