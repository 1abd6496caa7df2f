import { mount } from 'svelte';
import '../style/base.css';
import '../style/layout.css';
import '../style/parts.css';
import './desktop.css';
import { followTheme } from '../lib/theme.svelte';
import Desktop from './Desktop.svelte';

followTheme();
const target = document.getElementById('app');
if (target) mount(Desktop, { target });
