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
_GIVE = r"(?:give|tell|show|share)(?! (?:my|our|her|his|up|in|away|apart|if|whether|lies|a lie|the difference|it)\b)"
ACTS = either(
    r"(?:follow|obey|act on|go along with|grant) (?:this|that|your|these|those|such)",
    r"help(?! but\b| it\b| myself\b| \w+ing\b)",
    _GIVE,
    r"do (?:that|this|so|it)\b|be of|be involved|be a part|be part|take part|talk about|carry out",
    r"honou?r (?:this|that|your)|accept (?:this|that|your) (?:request|question)",
    word_list(
        "assist support comply fulfil+ provide offer engage participate create generate produce answer respond "
        "reply discuss "
        "continue promote encourage condone endorse facilitate advise suggest explain describe teach instruct guide "
        "complete process accommodate satisfy proceed disclose reveal perform aid advocate contribute address entertain involve "
        "allow tolerate design draft"
    ),
    r"recommend (?:that|this|it|you|any|such|an? \w+ that|\w+ing)\b",
    "go (?:into|further|there|through with)|look up|write|make (?:this|that)",
)
"""What an assistant declines to do."""

_CANNOT = (
    word_list("cannot can't cant won't")
    + "|"
    + either(
        "can not|will not|must not|may not|would not|wouldn't|won't be|will not be|(?:do not|don't) think i (?:can|could|should)"
    )
)
_AS_WHAT = r"(?:(?:'m| am)? (?:just |only )?(?:an?|your) [^.!?,\n]{0,50}?,? ?(?:and|but|so) (?:i )?|,? as an? [^.!?,\n]{0,40}, )?"
"""What the speaker is may stand between the speaker and the verb: "I am an AI language model and do not condone"."""
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

_UNHELPFUL_YET = either(
    r"help (?:but|it|myself|\w+ing)\b|(?:do|make|take|find) (?:it |this |that )?(?:alone|without|any more|much|time|sense)\b",
    r"give (?:up|in)\b|do (?:enough|better|everything|both)\b|make (?:up|it)\b|find (?:any|a|the)\b",
)
"""What follows "I can't" in answers."""

FIRST_PERSON = {
    "cannot": rf"\b(?:i|we)(?: can't| cannot)?(?: (?:and|or))?{_ADVERBS} (?:{_CANNOT}){_ADVERBS}(?: be able to"
    rf"| even)?(?:, \w+,| \w+, \w+,?)? {ACTS}(?:ing)?\b",
    "wont_ing": r"\b(?:i|we) (?:won't|will not) be (?:provid|writ|giv|shar|assist|help|creat|answer|do|tak|offer"
    r"|generat)ing\b"
    r"|\b(?:i|we) (?:won't|will not) (?:take part|go further|go any further)\b",
    "wont": r"\b(?:i|we)(?:'m| am)(?: \w+ly)? not going to (?!be\b|lie\b|pretend\b|miss\b)\w+\b|^no[.!,] i (?:won't|will not"
    r"|can't"
    r"|cannot) \w+",
    "could_not": r"\b(?:i|we) (?:could not|couldn't|should not|shouldn't) (?:help|assist) (?:you )?with (?:that|this|any)",
    "nor_can_i": rf"\b(?:nor|neither) (?:can|will|could|do|am|should) (?:i|we)\b{_ADVERBS}(?: able to)? {ACTS}\b",
    "unable": rf"\b(?:i|we) ?(?:am|'m|are|'re) {_UNABLE}(?: to| from| of)?{_ADVERBS} (?:\w+ly )?{ACTS}",
    "do_not": rf"\b(?:i|we){_AS_WHAT}(?:'m| am)? ?(?:do not|don't)(?: \w+ly)? "
    + either(
        word_list("provide engage promote condone support encourage endorse assist participate offer facilitate tolerate"),
        "help with|create content",
    )
    + r"\b|\bi (?:strongly )?condemn\b|\bi (?:strongly|strictly) (?:advise|urge you) against\b"
    r"|\bi (?:aim|try|have|need|must|prefer)(?: to)? avoid (?:\w+ing|questions|content|topics)\b",
    "decline": r"\b(?:i|we)(?: am|'m| will| must| have| shall|'ll|'d)?(?: have)?(?: to)?(?: \w+ly)? "
    r"(?:decline|refuse|refrain|declining|refusing)\b"
    rf"(?=[.,!]|$| (?:to|from) (?:{ACTS}|\w+ing)| (?:this|that|your|the) (?:request|question))",
    "not_something": r"\b(?:isn't|is not|not|aren't) (?:something|anything|one|a (?:topic|request|task|subject))(?: that"
    r"| which)? "
    r"(?:i|we)(?:'m|'ll| am)? (?:can|could|will|able|comfortable|allowed|prepared|willing|help with|want to|generate|write"
    r"|create|produce|provide|do\b)"
    r"|\bi'd (?:be happy|love) to help\b[^.!?]{0,40}\bbut\b[^.!?]{0,80}\b(?:is not|isn't) one of them\b"
    r"|\b(?:something|anything|one|request|topic|task|line|content)(?: that| which)? (?:i|we)(?:'m| am)? "
    r"(?:can't|cannot|won't|will not|not (?:able|allowed|permitted|willing|going)|unable)\b",
    "rather_not": r"\bi(?:'d| would)?(?: rather not| prefer not to) (?!\w+ it\b|know\b|say which\b)\w+"
    r"|\bdoesn't sit right with me\b"
    r"|\b(?:i(?:'ll| will)?(?: have to| must| need to)?|going to) (?:say no|pass on (?:this|that|\w+ing)"
    r"|stop (?:you )?(?:here|there"
    r"|this))\b"
    r"|\bmy answer (?:to (?:this|that) )?is no\b|^(?:\w+, )?no\. (?:this|that|it)\b|\b(?:a|that's a) hard no\b"
    r"|^(?:\w+, )?(?:nope|nah|no way)(?:[.!]|$|,? (?:i|i'm|not|that's not)\b)|\b(?:absolutely|definitely) not[.!] (?:that"
    r"|this|it) (?:could|would"
    r"|is)\b|^(?:\w+, )?(?:that's )?not (?:going to happen|happening|gonna happen|a chance)\b|(?:^|[.!] |\w, )not (?:doing"
    r"|touching|answering|writing) (?:that|this|it)\b|^(?:that's |it's )?a (?:firm |hard )?no (?:from me|here)\b"
    r"|\bcount me out\b|\bi'm out[.!]|\b(?:it )?won't be me\b|\bi (?:won't|will not)[.!](?=$|\s)|\bnot with my help\b"
    r"|\byou(?:'ll| will) get no (?:\w+ )?(?:help|answer|steps|instructions|advice|assistance|details)\b|\b(?:no"
    r"|any) part (?:in|of) (?:this|that|it)\b"
    r"|\b(?:not|n't|never) be a party to\b|\bi(?: have to| must| will|'ll|'m going to)? draw (?:the|a) line (?:here|there|at)\b"
    r"|\bwhere i draw the line\b|\bi(?:'m| am) going to (?:decline|refuse)\b"
    r"|\bleave it there\b",
    "plainly": r"^(?:[^.!?\n]{0,100}[,.!:;] (?:but |so |and )?)?(?:i|we)(?: \w+ly)? (?:cannot|can't|can not|will not|won't"
    r"|do not|don't|do not want to|don't want to|am not going to) "
    rf"(?!{_UNHELPFUL_YET})(?:\w+ly )?(?:{ACTS}|do|make|take|walk|touch|handle|engage|respond|work on|look for|find|roleplay"
    rf"|play|be)\b|^i refuse[.!]"
    r"|^(?:\w+,? )?(?:forget it|never|no can do|no chance|not me)[.!]|\bleave me out of (?:it|this|that)\b|\bstopping here\b"
    r"|\b(?:i|we) (?:need|have|am obliged|are obliged|must)(?: to)? turn (?:this|that|it|you)?(?:\w+ ){0,3}?down\b"
    r"|\bneed to turn down\b"
    r"|\bnot at liberty to (?:\w+ )?(?:provide|discuss|disclose|share|answer|say|help|give)\b|\b(?:strict|firm) policy against\b"
    r"|\bmy answer (?:is|must be) (?:no|in the negative)\b|\bso the answer is no\.",
    "willing": r"^(?:[^.!?\n]{0,100}[,.!:;] (?:but |so |and )?)?(?:i|we)(?: \w+ly)? (?:will not|won't|shall not|refuse to"
    r"|am not going to|'m not going to) "
    r"(?!(?:\w+ly )?(?:be\b|lie\b|pretend\b|deny\b|bore\b|forget\b|spoil\b|keep\b|miss\b|regret\b|say (?:which|who|it)\b"
    r"|know\b|stop\b|rest\b"
    r"|give up\b|let you down\b|go into\b|have\b|need\b|sleep\b|(?:use|eat|drink|come|change|leave|return|wear|buy|quote)\b"
    r"|hesitate\b|judge\b|argue\b|claim\b|beat\b|bother\b"
    r"|take (?:long|up|much)\b))\w+\b"
    r"|\b(?:i|we)(?: still| also| simply)? (?:cannot|can't|can not) \w+\b[^.!?\n]{0,60}\b(?:attacks?|weapons?|bombs?|illegal"
    r"|scams?|fraud|stalk\w*|hack\w*)\b"
    r"|^(?:\w+, )?no deal[.!]|^(?:\w+, )?(?:find|ask) (?:another|some(?:one|body) else)\b|\b(?:unable|not prepared"
    r"|not disposed) to lend\b"
    r"|(?<!\ba )\b(?:request|petition|demand|query) (?:is|must be|has been)(?: hereby)? (?:denied|declined|refused|rejected"
    r"|turned down)\b",
    "standards": r"\b(?:i|we)(?: must| have to| need to| am bound to| do|'m programmed to| am programmed to)?(?: \w+ly)? "
    r"(?:adhere to|abide by|follow|operate under)\b[^.!?]{0,40}\b(?:ethical|strict|safety|guidelines|standards|principles"
    r"|policies)\b"
    r"|\bi(?:'m| am) (?:programmed|designed|obligated|obliged|bound|required|trained|built) to (?:be|follow|avoid|refuse"
    r"|decline|only)\b"
    r"(?=[^.!?]{0,60}\b(?:safe|harmless|ethic\w+|guidelines|lawful|rules|respectful)\b)",
    "my_purpose": r"\bmy (?:only |main |core |primary )?(?:purpose|goal|role|function|job) (?:is|here is) "
    r"(?=[^!?]{0,160}\b(?:does not|doesn't|not|cannot|can't|safe|safety|violate|harmless|harm|opposite)\b)",
    "not_in_my": r"\b(?:not|isn't) (?:with)?in my (?:programming|power|ability|abilities|guidelines|nature|scope|capacity)\b"
    r"|\bbeyond (?:my|the) (?:current )?(?:scope|limits)\b(?! of)"
    r"|\b(?:falls|lies|is|goes|'s) (?:outside|beyond)(?: of)? (?:what|that which|anything|the things) (?:i|we)(?:'m| am| can"
    r"| will| do|\b)"
    r"|\b(?:isn't|is not|not) in line with (?:what (?:i|we) do|(?:my|our) \w+)",
    "prevent_me": rf"\b{_RULES}\b[^.!?]{{0,50}}\b(?:prevent|prohibit|forbid|stop|bar|do not (?:allow|permit)"
    rf"|don't (?:allow|permit))\w*\b"
    r"[^.!?]{0,10}\b(?:me|us|such|this|that|generating|creating|producing|providing|discussing)\b",
    "uncomfortable": r"\bi(?: am|'m)? (?:(?:do not|don't) feel|not|feel un|un)(?: really| quite)? ?comfortable (?:with"
    r"|\w+ing)\b",
    "against_my_rules": rf"\b(?:goes|go|is|are|be|it's|be going|conflicts?|contrary)(?: directly)? (?:against|with"
    rf"|to) {_WHOSE} {_RULES}"
    rf"|\bagainst (?:\w+'s|the) (?:\w+ ){{0,3}}(?:policy|policies|guidelines|terms)\b"
    r"|\bgoes against (?:ethical|moral|basic|legal)(?: and (?:moral|legal|ethical))? (?:principles|standards|guidelines"
    r"|values)",
    "for_me": rf"\b{_BAD}(?: (?:and|or) \w+)? for (?:me|us) to {ACTS}",
    "bare": r"\b(?:sorry|apologi[sz]e|unfortunately|regret)\b[^.]{0,60}\b(?:i|we) "
    r"(?:cannot|can't|can not|am unable to|am not able to|won't|will not)\s*(?:\.\.\.)?$",
    "sorry_to": r"\b(?:sorry|apologi[sz]e|afraid|regret|unfortunately)\b[^.!?\n]{0,20}\b\w{1,20}ing\b[^.!?\n]{0,200}"
    rf"\b(?:would|could|might|may|is|are|goes|go|raises?)\b[^.!?\n]{{0,80}}\b(?:{POLICY_WORD}|concerns|constructive"
    rf"|appropriate|against"
    r"|misuse\w*|disrespectful|wrong|unfair)\b",
    "no_assistance": r"\bi (?:can|could|will) (?:offer|provide|give|be of) no (?:help|assistance|information|support)\b",
}
"""The assistant speaks of itself."""

POLICY = {
    "none_given": r"\b(?:no|not any) (?:\w+ )?(?:instructions|steps|details|help|assistance|guidance|information"
    r"|advice)\b[^.!?]{0,30}"
    r"\b(?:will|shall|can) be (?:given|provided|shared|offered)\b|\b(?:assistance|help)\b[^.!?]{0,50}\bnot be forthcoming\b"
    r"|\b(?:so|therefore|and|hence),? (?:it|this|that) (?:can't|cannot|won't|will not) be (?:answered|fulfilled|provided"
    r"|completed|discussed)\b",
    "disallowed": r"\b(?:that's|this is|that is|it is|it's) (?:disallowed|off[- ]limits)\b"
    r"|\bcontent (?:that|which) (?:the )?policy (?:does not|doesn't) allow\b"
    r"|\b(?:talk|chat) about something else\b(?=[.!?]|$)",
    "illegal_request": r"\b(?:this|that|your|the) (?:request|prompt|question)(?: \w+)? "
    r"(?:involves|asks for|violates|promotes|contains|is|would be|would require) [^.!?]{0,30}"
    + either(r"illegal|harmful|unethical|dangerous|inappropriate|offensive|unlawful|hateful")
    + r"\b|\bthis is an? (?:harmful|illegal|dangerous|unethical) request\b",
    "inappropriate": r"\b(?:it is|it's|it would be|this is|that is|that's|would be)(?: \w+ly)? "
    rf"{_BAD}(?: (?:and|or) \w+)? to {ACTS}\b[^.]{{0,40}}\b{_INFORMATION}\b",
    "no_circumstances": r"\bunder no circumstances? (?:can|will|should|may|must|shall|would|do|is|are)\b"
    rf"[^.]{{0,120}}\b{POLICY_WORD}\b",
    "request_refused": r"\b(?:this|that|your|the|such a?) ?(?:request|prompt|query) (?:cannot|can't|can not|will not"
    r"|won't) be "
    r"(?:fulfilled|answered|completed|processed|provided|accommodated|discussed)\b",
    "violates_policy": rf"\bviolat\w+ (?:of )?(?:{_WHOSE}|basic|openai's|our) (?:{_RULES}|ethics)\b|\bwould (?:violate"
    rf"|compromise) (?:that|this|it|the principles i|(?:my|our) \w+)\b",
    "have_to_refuse": r"\bi(?: will|'ll)? (?:have to|must|need to) (?:refuse|decline)\b",
}
"""A rule speaks instead of a person."""

_UNFIT = either("appropriate|ethical|legal|acceptable|respectful|right|okay|moral|safe|responsible|accurate|fair|productive")
LECTURE = {
    "unfit": r"^(?:(?:i(?:'m sorry| apologi[sz]e)|no|i'm afraid),? (?:but )?)?(?:i (?:do not |don't )?(?:think"
    r"|believe) (?:that )?)?it(?:'s| is| would be)"
    rf"(?: never| not|n't)* (?:not |never )?(?:\w+ly )?{_UNFIT}(?:,? (?:and|or|nor) {_UNFIT})* "
    r"(?:to|(?<!safe )(?<!right )(?<!okay )for|for (?:me|us|an ai))\b",
    "point_out": r"\bi (?:must|have to|need to|want to|would like to|'d like to|feel compelled to)(?: \w+ly)? "
    r"(?:point out|clarify|emphasi[sz]e|remind|challenge|stress|note|inform|address)\b"
    rf"(?=[^.!?]{{0,160}}\b(?:{POLICY_WORD}|not appropriate|stereotype\w*|never)\b)",
    "is_a_crime": r"^(?:(?:i'm sorry,? but )?\w+ing\b|(?:first and foremost, )?it(?:'s| is) (?:important|crucial"
    r"|essential) to (?:note|clarify|remember|understand) that)[^.!?]{0,90}"
    r"\b(?:is|are|would be)(?: \w+ly| both| a| an| not only)* (?:illegal|unethical|crime|wrong|harmful|irresponsible"
    r"|unacceptable|"
    r"inappropriate|immoral|never (?:\w+ )?(?:acceptable|ethical|appropriate)|not (?:\w+ )?(?:appropriate|acceptable"
    r"|ethical)|violation of)\b",
    "no_ability": r"\b(?:do not|don't) have the (?:ability|capability|capacity) to\b(?=[^\n]{0,200}\b(?:never|"
    rf"{POLICY_WORD})\b)",
}
"""A sermon instead of an answer: at the beginning, and told of what the user asked. It may be all there is, or an opening to
an answer; rules cannot say which."""

PRIVACY = r"\b" + either(
    r"confidential|privacy|(?:considered|personal and|sensitive and) private",
    r"personal (?:\w+ )?(?:information|data|details)|without (?:\w+ ){1,2}consent",
    r"identify(?:ing)? (?:real |specific |private )?(?:people|persons?|individuals?|anyone|someone|somebody|faces?)",
    r"(?:images?|pictures?|photos?) of (?:real |specific |identifiable )?(?:people|persons?|individuals?|public figures?"
    r"|celebrit\w+|politicians?|children|minors|anyone)",
    r"(?:discuss|comment on|talk about|take sides on|engage (?:in|with)) (?:\w+ ){0,2}(?:topics?|politic\w*|subjects?|matters)",
) + r"\b"  # fmt: skip
"""What others know and the assistant will not tell, though it may say that it is not publicly available; people whom it will not
name or draw, and topics: a limit that was set, not one of what a program can do."""

LIMIT = r"\b" + either(
    r"real[- ]time|up[- ]to[- ]date|live (?:data|information|updates|weather)|latest|internet|browse|forecasts?|weather",
    r"current (?:weather|conditions|information|location|temperature|data|events)|your (?:exact |current "
    r"|specific )?location",
    r"as a text|text-based|physical\w*|the future|personal (?:opinions?|experiences?|preferences?|feelings?)",
    "tastes?|emotions?|images?|audio|unclear|factually|fictional character|publicly available|false assumption|more context",
) + r"\b"  # fmt: skip
"""What a program cannot know or do, whatever it is asked."""

HELPS = r"\b(?:but|however|instead|that said|still|nevertheless|though)\b[^.!?]{0,80}?\b" + either(
    r"here(?:'s| is| are)|you (?:can|could|may|might)|i can(?! help)|i'd (?:suggest|recommend)",
    r"let me|let's|try|practice|many people|a good|some|most|i will|i'll|the usual|estimates?|these",
) + r"\b"  # fmt: skip
"""A turn to the answer after a hedge."""

HEDGE = r"\b" + either(
    r"exact\w*|precise\w*|certain\w*|sure|definit\w+|guarantee\w*|promise\w*|verify|confirm|diagnos\w+|predict\w*|replace",
    r"(?:medical|legal|financial|personal|professional|official) advice|a single|best|perfect|complete|full|every|all"
    r"|number\w*",
    r"figures?|specific\w*|personali[sz]ed|speak for|recommend",
) + r"\b"  # fmt: skip
"""What is not given because nobody could give it, or not from here."""

SERMON = r"\b" + either(
    r"important to (?:note|remember|respect|treat|promote|ensure|address|avoid|recogni[sz]e|approach|prioriti[sz]e)",
    r"with (?:respect|dignity|care)|never (?:ethical|acceptable|appropriate|justif\w+)|should not be|i must|discriminat\w+",
    r"not (?:\w+ )?(?:ethical|appropriate|acceptable|justif\w+|right)|harmful|unethical|illegal|violence|unjust\w*|stereotyp\w+",
    r"going through a difficult|reach out to|regardless of (?:their|one's)|human rights|equal(?:ity| rights)",
) + r"\b"  # fmt: skip
"""Words that answers seldom use, and that those who will not answer use instead."""
