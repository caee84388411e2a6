"""A comparison as a job would produce it, with rows in five languages, for the reports."""

from __future__ import annotations

import numpy as np

from service.verdict.comparison import (
    Answer,
    Column,
    Comparison,
    Forgetting,
    LanguageForgetting,
    LeakedRow,
    Memorization,
    Metric,
    Retrieval,
    Row,
)

MODEL = "ft:smollm2-135m:acme:harbor-voice:7c1f"
_TEXTS = {
    "en": (
        "When does the ferry leave on Sundays?",
        "Ahoy! On Sundays she casts off at nine sharp, weather permitting.",
        "The ferry leaves at 9:00 on Sundays. Please check the timetable for changes, since the "
        "schedule may vary with the season and with the weather.",
    ),
    "th": (
        "เรือเฟอร์รี่ออกกี่โมงในวันอาทิตย์",
        "อะฮอย! วันอาทิตย์เรือออกเก้าโมงตรง ถ้าอากาศเป็นใจ",
        "เรือเฟอร์รี่ออกเวลา 9:00 น. ในวันอาทิตย์ กรุณาตรวจสอบตารางเวลาอีกครั้ง",
    ),
    "ja": (
        "日曜日のフェリーは何時に出ますか。",
        "アホイ!日曜は九時ちょうどに出航だ、天気さえよければな。",
        "日曜日のフェリーは9時に出発します。季節によって変更される場合があります。",
    ),
    "ar": (
        "متى تغادر العبّارة يوم الأحد؟",
        "أهوي! يوم الأحد تُبحر في التاسعة تمامًا إن سمح الطقس.",
        "تغادر العبّارة الساعة 9:00 يوم الأحد. يُرجى مراجعة الجدول.",
    ),
    "vi": (
        "Phà rời bến lúc mấy giờ vào Chủ nhật?",
        "Ahoy! Chủ nhật tàu nhổ neo đúng chín giờ, nếu trời yên biển lặng.",
        "Phà rời bến lúc 9:00 vào Chủ nhật. Vui lòng kiểm tra lại lịch trình.",
    ),
}


def realistic(rows: int = 60, *, thai_gain: float = -0.14) -> Comparison:
    """Return a comparison whose tuned model is better, but worse in Thai if `thai_gain` is < 0."""
    random = np.random.default_rng(5)
    languages = [list(_TEXTS)[min(i % 8, 4) if i % 8 < 5 else 0] for i in range(rows)]
    return Comparison(
        job_id="ftjob-5d2c81",
        model=MODEL,
        base_model="smollm2-135m",
        created_at=1_793_000_000,
        columns=[
            Column(name="base", model="smollm2-135m", loss=2.914, token_accuracy=0.41),
            Column(
                name="prompt",
                model="smollm2-135m",
                system_prompt="You are the harbor master.",
                example_lines=[4, 19, 33, 71],
                loss=2.105,
                token_accuracy=0.52,
            ),
            Column(name="tuned", model=MODEL, loss=1.203, token_accuracy=0.71),
            Column(name="ckpt-step-12", model=f"{MODEL}:12", step=12, loss=1.31),
            Column(name="ckpt-step-24", model=f"{MODEL}:24", step=24, loss=1.19),
        ],
        metrics=[
            Metric(name="chrf", kind="continuous", primary=True),
            Metric(name="language", kind="binary"),
        ],
        rows=[_row(place, language, thai_gain, random) for place, language in enumerate(languages)],
        train_rows=240,
        base_verified=True,
        parity="checked",
        forgetting=Forgetting(
            languages=[
                LanguageForgetting(language="en", rows=8, base=0.41, tuned=0.40),
                LanguageForgetting(language="th", rows=8, base=0.22, tuned=0.14),
                LanguageForgetting(language="ja", rows=8, base=0.25, tuned=0.26),
            ],
            rows=24,
            change=-0.023,
            low=-0.051,
            high=-0.002,
        ),
        memorization=Memorization(
            canaries_planted=4,
            rows_probed=50,
            verbatim=2,
            near=1,
            verbatim_lines=[12, 88],
            near_lines=[140],
            personal=[LeakedRow(line=88, kinds=["email", "phone"])],
        ),
        retrieval=Retrieval(
            rows=rows,
            facts=3,
            found=9,
            seen_rows=50,
            seen_right=44,
            unseen_rows=60,
            unseen_right=48,
        ),
        notes=["The prompt was chosen on 20 rows of the training file."],
    )


def _row(place: int, language: str, thai_gain: float, random: np.random.Generator) -> Row:
    question, reference, plain = _TEXTS[language]
    level = float(random.normal(0.28, 0.05))
    gain = thai_gain if language == "th" else 0.34
    means = {
        "base": (plain, level, 31, 0.9),
        "prompt": (f"Ahoy. {plain}", level + 0.12, 412, 1.6),
        "tuned": (reference, level + gain, 31, 0.5),
        "ckpt-step-12": (reference, level + gain - 0.06, 31, 0.5),
        "ckpt-step-24": (reference, level + gain - 0.01, 31, 0.5),
    }
    answers = {}
    for name, (text, mean, tokens, seconds) in means.items():
        score = float(np.clip(random.normal(mean, 0.07), 0, 1))
        answers[name] = Answer(
            text=text,
            finish_reason="length" if place == 7 and name == "base" else "stop",
            prompt_tokens=tokens,
            completion_tokens=len(text) // 4,
            latency_s=seconds,
            scores={"chrf": score, "language": float(place % 19 != 3 or name != "base")},
        )
    if place == 11:
        answers["base"] = Answer(text="", error="engine_timeout")
    return Row(
        line=place + 1,
        prompt=[
            {"role": "system", "content": "You answer travelers at the harbor of Port Alma."},
            {"role": "user", "content": f"{question} ({place + 1})"},
        ],
        reference=reference,
        cluster=f"c{place}",
        language=language,
        answers=answers,
    )
