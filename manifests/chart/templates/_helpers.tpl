{{/* The prefix of the names of all objects. Templates append at most 15 characters. */}}
{{- define "drydock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The labels that select the pods of this release. They must not change, because the selector of a Deployment is immutable. */}}
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

{{/* The metadata of an object. Takes (dict "root" $ "name" NAME); optional: "cluster" true for cluster-scoped objects, "labels", "annotations". */}}
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

{{/* The name of the Secret with the certificate, if certificates.source is cert-manager or secret. */}}
{{- define "drydock.certificateSecret" -}}
{{- if eq .Values.certificates.source "cert-manager" -}}
{{- include "drydock.fullname" . }}-serving
{{- else -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "drydock.fullname" .)) -}}
{{- end -}}
{{- end }}

{{/* With hostNetwork, other ports, because these may be in use on the node. */}}
{{- define "drydock.webhookPort" -}}{{ ternary 10343 8443 .Values.hostNetwork }}{{- end }}
{{- define "drydock.opsPort" -}}{{ ternary 10380 8080 .Values.hostNetwork }}{{- end }}

{{- define "drydock.webhookNames" -}}
'enforce.job-pods.drydock.dev', 'audit.job-pods.drydock.dev'
{{- if .Values.namespacePerJob.enabled }}, 'namespace-per-job.job-pods.drydock.dev'{{ end -}}
{{- end }}
