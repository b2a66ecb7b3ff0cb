"""What of OpenAI's and vLLM's requests cannot be heeded, and why."""

_NO_MIN = "answers end where the model ends them; ignore_eos lets them go on."
_OLD = "it is the old form of tools and tool_choice."

FOR_ALL = {
    "min_tokens": _NO_MIN,
    "use_beam_search": "tokens are sampled; there is no beam search.",
    "bad_words": "use logit_bias.",
    "allowed_token_ids": "use logit_bias, or a regex or grammar.",
    "logits_processors": "requests cannot bring code.",
    "include_stop_str_in_output": "stop strings are never part of an answer.",
    "truncate_prompt_tokens": "prompts are answered whole or refused.",
}
"""Whatever is asked for."""

OF_CHATS = {
    "functions": _OLD,
    "function_call": _OLD,
    "audio": "the model only writes text.",
    "web_search_options": "the server has no access to the web.",
    "chat_template": "conversations are rendered with the model's own template.",
    "documents": "put them into a message.",
    "mm_processor_kwargs": "the model only reads text.",
}
"""In chat completions."""

OF_COMPLETIONS = {
    "suffix": "the model continues texts, and does not fill gaps in them.",
    "prompt_embeds": "prompts are text or token ids.",
}
"""In completions."""
