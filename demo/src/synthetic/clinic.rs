//! What her clinic has recorded: four rounds of laboratory results with ranges, and immunizations.

use std::io;

use jiff::{ToSpan as _, Zoned};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{BIRTH_DATE, NAME};

/// A measured quantity: LOINC code, name, UCUM unit, range, mean and spread in `10^-decimals` units.
struct Analyte {
    loinc: &'static str,
    name: &'static str,
    unit: &'static str,
    low: Option<&'static str>,
    high: Option<&'static str>,
    mean: i64,
    spread: i64,
    decimals: u32,
}

const fn analyte(loinc: &'static str, name: &'static str, unit: &'static str) -> Analyte {
    Analyte { loinc, name, unit, low: None, high: None, mean: 0, spread: 0, decimals: 0 }
}

const PANEL: [Analyte; 10] = [
    Analyte {
        low: Some("4.0"),
        high: Some("5.6"),
        mean: 61,
        spread: 4,
        decimals: 1,
        ..analyte("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%")
    },
    Analyte {
        low: Some("70"),
        high: Some("99"),
        mean: 104,
        spread: 12,
        ..analyte("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL")
    },
    Analyte {
        high: Some("100"),
        mean: 118,
        spread: 18,
        ..analyte("13457-7", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation", "mg/dL")
    },
    Analyte {
        low: Some("50"),
        mean: 56,
        spread: 6,
        ..analyte("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL")
    },
    Analyte {
        high: Some("150"),
        mean: 138,
        spread: 30,
        ..analyte("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL")
    },
    Analyte {
        low: Some("0.50"),
        high: Some("1.10"),
        mean: 84,
        spread: 9,
        decimals: 2,
        ..analyte("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL")
    },
    Analyte {
        low: Some("60"),
        mean: 78,
        spread: 7,
        ..analyte(
            "98979-8",
            "Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area] in Serum, Plasma or Blood by Creatinine-based formula (CKD-EPI 2021)",
            "mL/min/{1.73_m2}",
        )
    },
    Analyte {
        low: Some("3.5"),
        high: Some("5.1"),
        mean: 43,
        spread: 4,
        decimals: 1,
        ..analyte("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L")
    },
    Analyte {
        low: Some("136"),
        high: Some("145"),
        mean: 140,
        spread: 3,
        ..analyte("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L")
    },
    Analyte {
        low: Some("0.40"),
        high: Some("4.00"),
        mean: 212,
        spread: 60,
        decimals: 2,
        ..analyte("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "m[IU]/L")
    },
];

/// CVX code, name, lot number, days ago.
const IMMUNIZATIONS: [(&str, &str, &str, i32); 6] = [
    ("150", "influenza, injectable, quadrivalent, preservative free", "FLU-7Q2K91", 48),
    ("312", "COVID-19, mRNA, LNP-S, PF, 50 mcg/0.5 mL", "CV3088M-41", 61),
    ("187", "zoster recombinant", "ZR55T-0093", 205),
    ("187", "zoster recombinant", "ZR55T-0417", 330),
    ("115", "Tdap", "TD8841-C2", 1460),
    ("216", "Pneumococcal conjugate vaccine 20-valent", "PN20X-6618", 520),
];

/// Days ago of the rounds.
const ROUNDS: [i32; 4] = [350, 255, 160, 12];

/// A FHIR R4 collection: the patient, the labs, the immunizations.
pub(super) fn bundle(today: &Zoned, rng: &mut StdRng) -> io::Result<String> {
    let patient = urn(rng);
    let mut entries = vec![entry(
        &patient,
        &json!({"resourceType": "Patient", "id": id(&patient), "name": [{"use": "official", "text": NAME,
            "family": "Lima", "given": ["Ana", "Ferreira"]}], "gender": "female", "birthDate": BIRTH_DATE}),
    )];
    for ago in ROUNDS {
        let at = ago_at(today, ago, 8 * 60 + 20)?;
        for analyte in &PANEL {
            let urn = urn(rng);
            entries.push(entry(&urn, &lab(analyte, id(&urn), &patient, &at, rng)?));
        }
    }
    for (cvx, name, lot, ago) in IMMUNIZATIONS {
        let urn = urn(rng);
        let at = ago_at(today, ago, 10 * 60)?;
        entries.push(entry(&urn, &immunization((cvx, name, lot), id(&urn), &patient, &at)));
    }
    let bundle = json!({"resourceType": "Bundle", "type": "collection", "entry": entries});
    serde_json::to_string_pretty(&bundle).map_err(io::Error::other)
}

fn urn(rng: &mut StdRng) -> String {
    format!("urn:uuid:{}", uuid::Builder::from_random_bytes(rng.random()).into_uuid())
}

fn id(urn: &str) -> &str {
    urn.trim_start_matches("urn:uuid:")
}

fn entry(urn: &str, resource: &Value) -> Value {
    json!({"fullUrl": urn, "resource": resource})
}

fn ago_at(today: &Zoned, days: i32, minutes: i64) -> io::Result<String> {
    let at = today.checked_sub(days.days()).map_err(io::Error::other)?.saturating_add(minutes.minutes());
    Ok(at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

fn lab(analyte: &Analyte, id: &str, patient: &str, at: &str, rng: &mut StdRng) -> io::Result<Value> {
    let drawn = analyte.mean + rng.random_range(-analyte.spread..=analyte.spread);
    let value = decimal(drawn, analyte.decimals)?;
    let quantity = |value: &Value| {
        json!({"value": value, "unit": analyte.unit,
        "system": "http://unitsofmeasure.org", "code": analyte.unit})
    };
    let bound = |text: &'static str| serde_json::from_str::<Value>(text).map_err(io::Error::other);
    let mut range = serde_json::Map::new();
    let mut flag = "N";
    if let Some(low) = analyte.low {
        if number(&value) < low.parse().unwrap_or(f64::MIN) {
            flag = "L";
        }
        range.insert("low".into(), quantity(&bound(low)?));
    }
    if let Some(high) = analyte.high {
        if number(&value) > high.parse().unwrap_or(f64::MAX) {
            flag = "H";
        }
        range.insert("high".into(), quantity(&bound(high)?));
    }
    Ok(json!({
        "resourceType": "Observation", "id": id, "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": analyte.loinc, "display": analyte.name}], "text": analyte.name},
        "subject": {"reference": patient}, "effectiveDateTime": at, "issued": at,
        "valueQuantity": quantity(&value),
        "interpretation": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": flag}]}],
        "referenceRange": [range],
    }))
}

/// `units` of 10^-decimals as a JSON number that keeps its last zero: 610, 2 → 6.10.
fn decimal(units: i64, decimals: u32) -> io::Result<Value> {
    let scale = 10_i64.pow(decimals);
    let text = if decimals == 0 {
        units.to_string()
    } else {
        format!("{}.{:0width$}", units / scale, units % scale, width = decimals as usize)
    };
    serde_json::from_str(&text).map_err(io::Error::other)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn immunization((cvx, name, lot): (&str, &str, &str), id: &str, patient: &str, at: &str) -> Value {
    json!({
        "resourceType": "Immunization", "id": id, "status": "completed",
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": cvx, "display": name}], "text": name},
        "patient": {"reference": patient}, "occurrenceDateTime": at, "primarySource": true, "lotNumber": lot,
    })
}
