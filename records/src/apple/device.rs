//! Apple's `device` attribute: `<<HKDevice: 0x3012772a0>, name:Apple Watch, manufacturer:Apple Inc., model:Watch,
//! hardware:Watch6,7, software:10.2>`. The number is a memory address of the phone and changes with each export.

use crate::SourceDevice;

/// The attribute's fields, in Apple's order; those that are not kept only end the one before.
const FIELDS: [&str; 9] = [
    "name",
    "manufacturer",
    "model",
    "hardware",
    "firmware",
    "software",
    "localIdentifier",
    "UDIDeviceIdentifier",
    "creation date",
];

/// Reads the attribute; a text of another form becomes the device's name, without addresses.
pub(super) fn parse(attribute: &str) -> SourceDevice {
    let Some(fields) = attribute.strip_prefix("<<HKDevice:").and_then(|rest| rest.split_once('>')) else {
        return SourceDevice { name: some(attribute.trim()), ..SourceDevice::default() };
    };
    let fields = fields.1.trim_start_matches(',').trim_end_matches('>');
    let mut device = SourceDevice::default();
    for (name, value) in split(fields) {
        let value = some(value.trim());
        match name {
            "name" => device.name = value,
            "manufacturer" => device.manufacturer = value,
            "model" => device.model = value,
            "hardware" => device.hardware = value,
            "software" => device.software = value,
            _ => {}
        }
    }
    device
}

/// The device as it enters a record's identity.
pub(super) fn identity(device: &SourceDevice) -> String {
    let parts = [&device.name, &device.manufacturer, &device.model, &device.hardware, &device.software];
    parts.map(|part| part.as_deref().unwrap_or_default()).join("\u{1f}")
}

/// Splits `name:a, model:b, c` where a known field begins, since values hold commas (`Watch6,7`).
fn split(fields: &str) -> Vec<(&str, &str)> {
    let starts_field = |text: &str| FIELDS.iter().find(|name| is_field(text, name)).copied();
    let mut starts: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for piece in fields.split(',') {
        let trimmed = piece.trim_start();
        if let Some(name) = starts_field(trimmed) {
            starts.push((at + piece.len() - trimmed.len(), name));
        }
        at += piece.len() + 1;
    }
    let ends = starts.iter().skip(1).map(|(start, _)| *start).chain([fields.len()]);
    let bounds = starts.iter().zip(ends.collect::<Vec<_>>());
    bounds
        .map(|((start, name), end)| (*name, fields[start + name.len() + 1..end].trim().trim_end_matches(',')))
        .collect()
}

fn is_field(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH: &str = "<<HKDevice: 0x3012772a0>, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,7, software:10.2>";

    #[test]
    fn fields_are_read_with_their_commas() {
        let device = parse(WATCH);
        assert_eq!(device.name.as_deref(), Some("Apple Watch"));
        assert_eq!(device.manufacturer.as_deref(), Some("Apple Inc."));
        assert_eq!(device.model.as_deref(), Some("Watch"));
        assert_eq!(device.hardware.as_deref(), Some("Watch6,7"));
        assert_eq!(device.software.as_deref(), Some("10.2"));
    }

    #[test]
    fn the_memory_address_is_no_part_of_the_identity() {
        let other = parse(&WATCH.replace("0x3012772a0", "0x282a45810"));
        assert_eq!(identity(&parse(WATCH)), identity(&other));
        assert_ne!(identity(&parse(WATCH)), identity(&parse(&WATCH.replace("10.2", "10.3"))));
    }

    #[test]
    fn odd_attributes_do_not_panic() {
        for text in ["", "<<HKDevice:", "<<HKDevice: 0x0>", "Scale", "<<HKDevice: 0x0>, name:", ",,name:é,"]
        {
            let _ = parse(text);
        }
        assert_eq!(parse("Scale").name.as_deref(), Some("Scale"));
    }
}
