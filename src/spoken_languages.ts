import { PeftError } from "./errors.js";
import { nearest } from "./nearest.js";
import { option, words } from "./words.js";

/** Languages by their codes, in the order of Whisper's tokens. */
const LANGUAGES: Readonly<Record<string, string>> = Object.fromEntries(
  `en:english zh:chinese de:german es:spanish ru:russian ko:korean fr:french ja:japanese
pt:portuguese tr:turkish pl:polish ca:catalan nl:dutch ar:arabic sv:swedish it:italian id:indonesian
hi:hindi fi:finnish vi:vietnamese he:hebrew uk:ukrainian el:greek ms:malay cs:czech ro:romanian
da:danish hu:hungarian ta:tamil no:norwegian th:thai ur:urdu hr:croatian bg:bulgarian lt:lithuanian
la:latin mi:maori ml:malayalam cy:welsh sk:slovak te:telugu fa:persian lv:latvian bn:bengali
sr:serbian az:azerbaijani sl:slovenian kn:kannada et:estonian mk:macedonian br:breton eu:basque
is:icelandic hy:armenian ne:nepali mn:mongolian bs:bosnian kk:kazakh sq:albanian sw:swahili
gl:galician mr:marathi pa:punjabi si:sinhala km:khmer sn:shona yo:yoruba so:somali af:afrikaans
oc:occitan ka:georgian be:belarusian tg:tajik sd:sindhi gu:gujarati am:amharic yi:yiddish lo:lao
uz:uzbek fo:faroese ht:haitian_creole ps:pashto tk:turkmen nn:nynorsk mt:maltese sa:sanskrit
lb:luxembourgish my:myanmar bo:tibetan tl:tagalog mg:malagasy as:assamese tt:tatar haw:hawaiian
ln:lingala ha:hausa ba:bashkir jw:javanese su:sundanese yue:cantonese`
    .split(/\s/)
    .map((pair) => pair.replace("_", " ").split(":")),
);

/** Other names of some. */
const OTHERS: Readonly<Record<string, string>> = {
  ...{ burmese: "my", valencian: "ca", flemish: "nl", haitian: "ht", letzeburgesch: "lb", pushto: "ps" },
  ...{ panjabi: "pa", moldavian: "ro", moldovan: "ro", sinhalese: "si", castilian: "es", mandarin: "zh" },
};

const CODES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(LANGUAGES).map(([code, name]) => [name, code])),
  ...OTHERS,
};

/** The code of a language that is named as "hindi", "hi" or "<|hi|>". */
export function spokenLanguage(language: string): string {
  const name = language.toLowerCase().replace(/^<\|(.*)\|>$/, "$1");
  return Object.hasOwn(CODES, name) ? (CODES[name] ?? name) : name;
}

/**
 * The token of a language, which is named as "hindi", "hi" or "<|hi|>".
 * @param known the model's own tokens by name: "<|hi|>"
 * @throws "generation" for a language that the model does not have
 */
export function languageToken(language: string, known: ReadonlyMap<string, number>): number {
  const name = language.toLowerCase();
  const id = known.get(name) ?? known.get(`<|${spokenLanguage(name)}|>`);
  if (id !== undefined) return id;
  const all = [...known.keys()].map((token) => token.slice(2, -2));
  const meant = nearest(name, [
    ...all,
    ...Object.keys(CODES).filter((one) => all.includes(CODES[one] ?? "")),
  ]);
  throw new PeftError("generation", {
    what: words`${option("language", language)}.`,
    why: `this model has ${all.length > 12 ? `${all.length} languages, ${all.slice(0, 12).join(", ")}, ... among them` : all.join(", ") || "one language alone"}.`,
    fix:
      meant === undefined
        ? words`name one of these, or leave ${option("language")} out.`
        : words`${option("language", meant)}.`,
  });
}
