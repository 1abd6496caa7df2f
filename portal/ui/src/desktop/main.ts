import { mount } from 'svelte';
import '../style/base.css';
import '../style/layout.css';
import '../style/parts.css';
import './desktop.css';
import { followTheme } from '../lib/theme.svelte';
import Desktop from './Desktop.svelte';
import Player from './Player.svelte';

followTheme();
const target = document.getElementById('app');
// Names have no such sign in them.
const recording = location.hash.match(/^#recording=([0-9a-f-]{36})$/)?.[1];
if (target && recording) mount(Player, { target, props: { recording } });
else if (target) mount(Desktop, { target });
