import { mount } from 'svelte';
import './style/base.css';
import './style/layout.css';
import './style/parts.css';
import App from './App.svelte';
import { followTheme } from './lib/theme.svelte';

followTheme();
const target = document.getElementById('app');
if (target) mount(App, { target });
