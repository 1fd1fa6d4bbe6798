"""The phrases of refusals, as regular expressions over lower- or upper-case normal form. Bounded repeats only: linear time."""

from __future__ import annotations


def either(*parts: str) -> str:
    """A group of alternatives; every part is itself a ``|``-list."""
    return "(?:" + "|".join(parts) + ")"


def word_list(words: str) -> str:
    """A group of alternatives written with spaces between."""
    return either(*words.split())


_MANNER = either(
    "really|simply|just|also|ever|therefore|unfortunately|currently|possibly|legally|ethically|directly|knowingly|actually",
    "and will not|and won't|or will not|or won't|in good conscience|in good faith",
)
_ADVERBS = rf"(?: {_MANNER}){{0,3}}"
_GIVE = r"(?:give|tell|show|share)(?! (?:my|our|her|his|up|in|away|apart|if|whether|lies|a lie|the difference|it\b))"
ACTS = either(
    r"help(?! but\b| it\b| myself\b| \w+ing\b)",
    _GIVE,
    r"do (?:that|this|so|it)\b|be of|be involved|be a part|be part|take part|talk about|carry out",
    r"honou?r (?:this|that|your)|accept (?:this|that|your) (?:request|question)",
    word_list(
        "assist support comply fulfil+ provide offer engage participate create generate write produce answer respond "
        "reply discuss "
        "continue promote encourage condone endorse facilitate advise recommend suggest explain describe teach instruct guide "
        "complete process accommodate satisfy proceed disclose reveal perform aid advocate contribute address entertain involve "
        "allow tolerate"
    ),
)
"""What an assistant declines to do."""

_CANNOT = word_list("cannot can't cant won't") + "|" + either("can not|will not|must not|may not")
_UNABLE = either(
    r"not (?:\w+ )?"
    + word_list("able allowed permitted going authori[sz]ed willing programmed designed here meant")
    + "|not in a position",
    "unable|unwilling|incapable|forbidden|prohibited|reluctant",
)
_BAD = either("not " + word_list("appropriate ethical right possible acceptable legal okay ok safe"), "against the law") + "|"
_BAD = either(_BAD + word_list("inappropriate unethical irresponsible illegal wrong"))
_RULES = word_list(r"guidelines polic\w+ principles programming values rules terms standards purpose")

_WHOSE = r"(?:(?:my|our)(?: \w+){0,2}|(?:the |all )?(?:content|usage|community|ethical|safety))"

POLICY_WORD = either(
    word_list(
        r"illegal\w* unlawful\w* harm(?:ful|s)? unethical\w* immoral inappropriate dangerous unsafe violat\w+ violen\w+ "
        r"crim(?:e|es|inal) weapons? explosives? bombs? hack\w* steal\w* theft fraud\w* malicious malware abus\w+ "
        r"exploit\w* hate\w* "
        r"offensive explicit sensitive discriminat\w+ self-harm drugs? cheating guidelines? polic(?:y|ies) safety law "
        r"laws ethic\w* "
        r"moral\w* conscience forg(?:ing|ery)"
    ),
    "someone else's",
)
"""Words that make a disclaimer a matter of policy."""

_INFORMATION = word_list(
    "information instructions? guidance advice assistance help details content support answers? any such methods? material"
)

FIRST_PERSON = {
    "cannot": rf"\b(?:i|we){_ADVERBS} (?:{_CANNOT}){_ADVERBS}(?: be able to)? {ACTS}\b",
    "could_not": r"\b(?:i|we) (?:could not|couldn't|should not|shouldn't) (?:help|assist) (?:you )?with (?:that|this|any)",
    "nor_can_i": rf"\b(?:nor|neither) (?:can|will|could|do|am|should) (?:i|we)\b{_ADVERBS}(?: able to)? {ACTS}\b",
    "unable": rf"\b(?:i|we) ?(?:am|'m|are|'re) {_UNABLE}(?: to| from| of)?{_ADVERBS} (?:\w+ly )?{ACTS}",
    "do_not": r"\b(?:i|we) (?:do not|don't)(?: \w+ly)? "
    + either(
        word_list("provide engage promote condone support encourage endorse assist participate offer facilitate tolerate"),
        "help with|create content",
    )
    + r"\b",
    "decline": r"\b(?:i|we)(?: am|'m| will| must| have| shall|'ll|'d)?(?: have)?(?: to)?(?: \w+ly)? "
    r"(?:decline|refuse|refrain|declining|refusing)\b"
    rf"(?=[.,!]|$| (?:to|from) (?:{ACTS}|\w+ing)| (?:this|that|your|the) (?:request|question))",
    "not_something": r"\b(?:isn't|is not|not|aren't) (?:something|anything|a (?:topic|request|task|subject))(?: that| which)? "
    r"(?:i|we)(?:'m| am)? (?:can|could|will|able|comfortable|allowed)",
    "uncomfortable": r"\bi(?: am|'m)? (?:(?:do not|don't) feel|not|feel un|un)(?: really| quite)? ?comfortable (?:with|\w+ing)\b",
    "against_my_rules": rf"\b(?:goes|go|is|are|be) against {_WHOSE} {_RULES}",
    "for_me": rf"\b{_BAD}(?: (?:and|or) \w+)? for (?:me|us) to {ACTS}",
    "bare": r"\b(?:sorry|apologi[sz]e|unfortunately|regret)\b[^.]{0,60}\b(?:i|we) "
    r"(?:cannot|can't|can not|am unable to|am not able to|won't|will not)\s*(?:\.\.\.)?$",
    "no_assistance": r"\bi (?:can|could|will) (?:offer|provide|give|be of) no (?:help|assistance|information|support)\b",
}
"""The assistant speaks of itself."""

POLICY = {
    "inappropriate": r"\b(?:it is|it's|it would be|this is|that is|that's|would be)(?: \w+ly)? "
    rf"{_BAD}(?: (?:and|or) \w+)? to {ACTS}\b[^.]{{0,40}}\b{_INFORMATION}\b",
    "no_circumstances": r"\bunder no circumstances? (?:can|will|should|may|must|shall|would|do|is|are)\b"
    rf"[^.]{{0,120}}\b{POLICY_WORD}\b",
    "request_refused": r"\b(?:this|that|your|the|such a?) ?(?:request|prompt|query) (?:cannot|can't|can not|will not|won't) be "
    r"(?:fulfilled|answered|completed|processed|provided|accommodated|discussed)\b",
    "violates_policy": rf"\bviolat\w+ (?:of )?{_WHOSE} {_RULES}\b",
    "have_to_refuse": r"\bi(?: will|'ll)? (?:have to|must|need to) (?:refuse|decline)\b",
}
"""A rule speaks instead of a person."""

OTHER_LANGUAGES = {
    "fr": r"je ne (?:peux|suis) pas (?:vous |t'|te |en mesure |autorisé |fournir|répondre|aider|y )"
    r"|je refuse de (?:vous |répondre|fournir)",
    "es": r"no puedo (?:ayudar|proporcionar|ofrecer|asistir|responder|cumplir|brindar|dar)"
    r"|no me es posible (?:ayudar|proporcionar)",
    "de": r"kann ich (?:ihnen |dir |euch )?(?:leider )?nicht (?:helfen|weiterhelfen|beantworten|unterstützen)"
    r"|ich kann (?:\w+ ){0,5}nicht (?:helfen|bereitstellen|beantworten|unterstützen)",
    "it": r"non posso (?:aiutar|fornir|assister|risponder)\w*",
    "pt": r"não posso (?:ajudar|fornecer|auxiliar|responder)|não consigo ajudar",
    "ru": r"я не могу (?:вам )?(?:помочь|предоставить|помогать|ответить|выполнить)",
    "zh": r"(?:无法|不能|不會|不会|無法)(?:为您|向您|给您)?(?:提供|协助|協助|帮助|幫助|回答|满足|參與|参与)",
    "ja": r"(?:お手伝い|お答え|提供|対応|協力)(?:することは|する事は|は)?(?:できません|いたしかねます|できかねます)",
    "ko": r"(?:도와드릴|제공할|도울|답변할|답변드릴) 수(?:는|가)? 없습니다",
    "ar": r"لا (?:أستطيع|يمكنني|أقدر)(?: أن)? (?:مساعدت|المساعدة|تقديم|الإجابة|أساعد|أقدم)",
    "hi": r"मैं [^।]{0,60}(?:मदद|सहायता|जानकारी)[^।]{0,30}नहीं (?:कर|दे) सकत",
}
"""The commonest phrase of each language."""

LIMIT = r"\b" + either(
    r"real[- ]time|up[- ]to[- ]date|live (?:data|information|updates|weather)|latest|internet|browse|forecasts?|weather",
    r"current (?:weather|conditions|information|location|temperature|data|events)|your (?:exact |current |specific )?location",
    r"as a text|text-based|physical\w*|the future|personal (?:opinions?|experiences?|preferences?|feelings?)",
    "tastes?|emotions?|images?|audio",
) + r"\b"  # fmt: skip
"""What a program cannot know or do, whatever it is asked."""

HELPS = r"\b(?:but|however|instead|that said|still|nevertheless|though)\b[^.!?]{0,80}?\b" + either(
    r"here(?:'s| is| are)|you (?:can|could|may|might)|i can(?! help)|i'd (?:suggest|recommend)",
    r"let me|let's|try|practice|many people|a good|some|most",
) + r"\b"  # fmt: skip
"""A turn to the answer after a hedge."""
