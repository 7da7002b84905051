{{/* The name of the release's objects; others append at most 15 characters. */}}
{{- define "drydock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* By these the pods of this release are found. A Deployment's selector cannot change, so they never do. */}}
{{- define "drydock.selectorLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
app.kubernetes.io/name: drydock
{{- end }}

{{- define "drydock.labels" -}}
{{ include "drydock.selectorLabels" . }}
app.kubernetes.io/part-of: drydock
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: (dict "root" $ "name" NAME), and for some "cluster" true, "labels" and "annotations". */}}
{{- define "drydock.metadata" -}}
{{- $labels := merge (dict) (.labels | default dict) (include "drydock.labels" .root | fromYaml) -}}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations -}}
name: {{ .name | toYaml }}
{{- if not .cluster }}
namespace: {{ .root.Release.Namespace | toYaml }}
{{- end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "drydock.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "drydock.auditValue" -}}
{{- with .Values.optIn -}}
{{- if .auditValue }}{{ .auditValue }}{{ else if eq .value "enforce" }}audit{{ else }}{{ .value }}-audit{{ end -}}
{{- end -}}
{{- end }}

{{/* The Secret with the certificate where drydock does not keep one itself. */}}
{{- define "drydock.certificateSecret" -}}
{{- if eq .Values.certificates.source "cert-manager" -}}
{{- include "drydock.fullname" . }}-serving
{{- else -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "drydock.fullname" .)) -}}
{{- end -}}
{{- end }}

{{/* On the node's network the usual ports may be taken. */}}
{{- define "drydock.webhookPort" -}}{{ ternary 10343 8443 .Values.hostNetwork }}{{- end }}
{{- define "drydock.opsPort" -}}{{ ternary 10380 8080 .Values.hostNetwork }}{{- end }}

{{- define "drydock.webhookNames" -}}
'enforce.job-pods.drydock.dev', 'audit.job-pods.drydock.dev'
{{- if .Values.namespacePerJob.enabled }}, 'namespace-per-job.job-pods.drydock.dev'{{ end -}}
{{- end }}
