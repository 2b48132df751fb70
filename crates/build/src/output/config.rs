//! Configurations of images that a build makes.
//!
//! Whatever is not given a time by the request has that of the layer it is about, so that the same
//! build from the cache gives the same image.

use std::{collections::HashSet, sync::Arc};

use gantry_build_proto::OutputSpec;
use gantry_oci::{Digest, History, ImageConfig};
use jiff::Timestamp;

use super::{OutputError, Product, epoch, layer_records, rewrites_times, squash};
use crate::{
    build::{Build, ids},
    cache::record::Layer,
    graph::{Op, Target, VertexId},
    imports::{Carried, INLINE_KEY},
    solve::{Solved, Solver},
};

/// Makes the image of a target.
pub(super) async fn product(
    build: &Arc<Build>,
    solver: &Solver,
    target: &Target,
    solved: &Solved,
    spec: &OutputSpec,
) -> Result<Product, OutputError> {
    let epoch_s = epoch(build, Some(spec));
    let mut config = target.config.clone();
    let mut layers = solved.layers.clone();
    complete_history(solver, target, &layers, &mut config);
    set_times(&layers, epoch_s, &mut config);
    if build.request.squash {
        squash_history(target, &mut config);
        layers = squash::squash(build, &layers).await?;
    }
    // A step's files are as late as it ran: with a time that is given, the result is to have that.
    if rewrites_times(spec)?
        && let Some(epoch_s) = epoch_s
    {
        layers = squash::rewrite(build, &layers, epoch_s).await?;
    }
    config.rootfs.diff_ids = ids(&layers);
    if config.os.is_empty() {
        config.os.clone_from(&target.platform.os);
    }
    if config.architecture.is_empty() {
        config.architecture.clone_from(&target.platform.architecture);
        config.variant.clone_from(&target.platform.variant);
    }
    let raw_config = raw(build, solver, &config, &layers)?;
    let layers = layer_records(build, &layers);
    Ok(Product { raw_config, layers })
}

/// Marks entries of steps that made no layer.
fn complete_history(solver: &Solver, target: &Target, layers: &[Layer], config: &mut ImageConfig) {
    let made: HashSet<&Digest> = layers.iter().filter_map(|layer| layer.made_by.as_ref()).collect();
    for (entry, vertex) in &target.layers_of_history {
        let Some(entry) = config.history.get_mut(*entry) else { continue };
        let definition = solver.definition(own_vertex(solver, *vertex));
        entry.empty_layer = definition.is_none_or(|definition| !made.contains(&definition));
        if entry.created.is_none() {
            let definition = solver.definition(own_vertex(solver, *vertex));
            let layer = layers.iter().find(|layer| layer.made_by == definition);
            entry.created = layer.and_then(|layer| time_text(layer.created_ms));
        }
    }
}

/// The vertex that makes the layer: of a merge the one above.
fn own_vertex(solver: &Solver, vertex: VertexId) -> VertexId {
    match &solver.graph.vertex(vertex).op {
        Op::Merge { upper, .. } => own_vertex(solver, *upper),
        _ => vertex,
    }
}

/// Gives entries without a time that of the layer before them, the first ones that of the first new
/// one; none is later than the epoch.
fn set_times(layers: &[Layer], epoch_s: Option<i64>, config: &mut ImageConfig) {
    let epoch = epoch_s.and_then(|epoch| time_text(epoch.saturating_mul(1000)));
    let first_new = layers.iter().find(|layer| layer.made_by.is_some());
    let mut last = None;
    let mut seen_new = false;
    let no_time: Vec<bool> = config.history.iter().map(|entry| entry.created.is_none()).collect();
    let first_without = no_time.iter().position(|none| *none);
    for (index, entry) in config.history.iter_mut().enumerate() {
        if entry.created.is_some() {
            last.clone_from(&entry.created);
            continue;
        }
        if !seen_new && first_without == Some(index) {
            seen_new = true;
            last = first_new.and_then(|layer| time_text(layer.created_ms)).or(last);
        }
        entry.created.clone_from(&last);
    }
    if let Some(epoch) = &epoch {
        // RFC 3339 in UTC sorts as text only with equal digits: compare as moments.
        let moment: Option<Timestamp> = epoch.parse().ok();
        for entry in &mut config.history {
            let own = entry.created.as_ref().and_then(|own| own.parse::<Timestamp>().ok());
            if entry.created.is_none() || own > moment {
                entry.created = Some(epoch.clone());
            }
        }
    }
    if config.created.is_none() {
        let newest = config.history.last().and_then(|entry| entry.created.clone());
        let newest = newest.or_else(|| layers.last().and_then(|layer| time_text(layer.created_ms)));
        config.created = epoch.or(newest).or_else(|| Some(Timestamp::now().to_string()));
    }
}

/// All new layers are one: an entry of its own stands for it.
fn squash_history(target: &Target, config: &mut ImageConfig) {
    let mut any = false;
    for entry in target.layers_of_history.keys() {
        if let Some(entry) = config.history.get_mut(*entry) {
            any |= !entry.empty_layer;
            entry.empty_layer = true;
        }
    }
    if any {
        config.history.push(History {
            created: config.created.clone(),
            comment: "merge of the layers of this build".to_owned(),
            ..History::default()
        });
    }
}

/// The document, with the cache of the layers if that is to go with the image.
fn raw(
    build: &Build,
    solver: &Solver,
    config: &ImageConfig,
    layers: &[Layer],
) -> Result<Vec<u8>, OutputError> {
    let inline = build.request.cache_to.iter().any(|spec| spec.kind == "inline")
        || build.request.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| value == "1");
    if !inline {
        return serde_json::to_vec(config).map_err(OutputError::Config);
    }
    let own: HashSet<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
    let mut records = solver.records();
    records.retain(|record| record.layers().all(|layer| own.contains(&layer.diff_id)));
    // The same build gives the same image, however often its cache was used.
    for record in &mut records {
        (record.last_used_ms, record.uses) = (record.created_ms, 0);
        record.parents.clear();
    }
    let mut document = serde_json::to_value(config).map_err(OutputError::Config)?;
    let carried = serde_json::to_value(Carried { records }).map_err(OutputError::Config)?;
    if let Some(fields) = document.as_object_mut() {
        fields.insert(INLINE_KEY.to_owned(), carried);
    }
    serde_json::to_vec(&document).map_err(OutputError::Config)
}

fn time_text(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(made: bool, created_ms: i64) -> Layer {
        Layer {
            diff_id: Digest::of(&created_ms.to_le_bytes()),
            size_bytes: 0,
            tar_bytes: 0,
            made_by: made.then(|| Digest::of(b"definition")),
            created_ms,
        }
    }

    fn times(history: &[Option<i64>], layers: &[Layer], epoch_s: Option<i64>) -> Vec<i64> {
        let entry =
            |ms: &Option<i64>| History { created: ms.and_then(time_text), ..History::default() };
        let mut config =
            ImageConfig { history: history.iter().map(entry).collect(), ..ImageConfig::default() };
        set_times(layers, epoch_s, &mut config);
        let all = config.history.iter().map(|entry| entry.created.clone()).chain([config.created]);
        all.map(|time| time.unwrap().parse::<Timestamp>().unwrap().as_millisecond()).collect()
    }

    #[test]
    fn times_come_of_layers() {
        let layers = [layer(false, 1000), layer(true, 5000), layer(true, 9000)];
        for (history, epoch_s, want) in [
            // base, ENV, RUN, ENV, RUN
            (
                &[Some(1000), None, Some(5000), None, Some(9000)][..],
                None,
                &[1000, 5000, 5000, 5000, 9000, 9000][..],
            ),
            (&[Some(1000), None], None, &[1000, 5000, 5000]),
            (&[Some(1000), Some(5000), Some(9000)], Some(2), &[1000, 2000, 2000, 2000]),
            (&[None], Some(3), &[3000, 3000]),
        ] {
            assert_eq!(times(history, &layers, epoch_s), want, "{history:?}");
        }
        assert_eq!(times(&[Some(1000), None], &layers[..1], None), [1000, 1000, 1000]);
    }
}
