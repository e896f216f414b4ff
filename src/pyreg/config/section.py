"""What all sections of the configuration have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section: frozen, and never quoting its values in an error."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, defer_build=True)
