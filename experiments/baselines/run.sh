#!/usr/bin/env bash
# Guidance and its baselines on the same few episodes, because fine-tuning takes gradient steps for each of them
source "$(dirname "$0")/../common.sh"
train baselines +experiment=late_global,foreground_background 'evaluation.shots=[1]' evaluation.episodes=32
train baselines +experiment=fine_tune 'evaluation.shots=[1]' evaluation.episodes=32 'evaluation.points=[1,5,dense]'
train baselines +experiment=oracle 'evaluation.shots=[1]' evaluation.episodes=32
study baselines/shapes --reference name=late_global $RUNS/baselines
if [ -n "$DATA" ]; then
    photos davis davis_baselines +experiment=late_global,foreground_background 'evaluation.shots=[1]' evaluation.episodes=12
    photos davis davis_baselines +experiment=fine_tune seed=0 'evaluation.shots=[1]' evaluation.episodes=12 \
        'evaluation.points=[1,5,dense]'
    study baselines/davis --reference name=late_global $RUNS/davis_baselines
fi
